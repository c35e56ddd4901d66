package model

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"lanekeeper/domain"
)

// CreateEndpoint is the body of POST /tenants/{id}/endpoints, and of PUT
// .../by-external-id/{external_id}.
type CreateEndpoint struct {
	// URL is an http or https URL with at most 2000 bytes.
	URL *string `json:"url" validate:"required" maxLength:"2000" example:"https://example.com/hooks/orders"`
	// Description has at most 2000 characters.
	Description *string `json:"description" example:"Orders for the warehouse"`
	// ExternalID is a name of your own, unique in the tenant, with at most 200 bytes; null for none.
	ExternalID json.RawMessage `json:"external_id" swaggertype:"string" maxLength:"200" extensions:"x-nullable" example:"warehouse"`
	// Types are at most 50 patterns of the types of messages that it gets; segments are separated by dots, and * stands for one or more of them. None, or null: all messages, also those without a type.
	Types json.RawMessage `json:"types" swaggertype:"array,string" extensions:"x-nullable" example:"order.*"`
	// TimeoutMS is how long the endpoint may take for its answer, in milliseconds; null for 5000.
	TimeoutMS json.RawMessage `json:"timeout_ms" swaggertype:"integer" minimum:"100" maximum:"15000" default:"5000" extensions:"x-nullable" example:"5000"`
	// Concurrency is how many deliveries may be under way at a time; null for as many as the tenant has workers.
	Concurrency json.RawMessage `json:"concurrency" swaggertype:"integer" minimum:"1" maximum:"100" extensions:"x-nullable" example:"5"`
	// Rate is how many deliveries may begin in a second; 0 or null for any number.
	Rate json.RawMessage `json:"rate" swaggertype:"integer" minimum:"0" maximum:"100000" default:"0" extensions:"x-nullable" example:"0"`
	// Ordering none delivers as many at a time as there may be; fifo one at a time, by seq; key by seq within an ordering_key, and keys side by side.
	Ordering *string `json:"ordering" enums:"none,fifo,key" default:"none" example:"none"`
	// OnFailure is for ordering fifo: with block a message whose attempts are used up is tried on until it succeeds or is skipped, with skip it is given up; null for block.
	OnFailure json.RawMessage `json:"on_failure" swaggertype:"string" enums:"block,skip" extensions:"x-nullable" example:"block"`
	// Retry says when a delivery that failed is tried again; null for the default.
	Retry RetrySettings `json:"retry" extensions:"x-nullable"`
	// Headers are at most 20 to be sent along. Their values are not shown again: *** stands for them, and leaves one that is there as it is. A change adds them to those that there are; null takes one away, and in the place of the object all of them.
	Headers json.RawMessage `json:"headers" swaggertype:"object,string" extensions:"x-nullable" example:"Authorization:Bearer abc"`
	// Secret is a signing secret of your own, `whsec_` and 24 to 64 bytes in base64; without it one is made. Where it takes the place of another one, that signs along for 24 hours.
	Secret *string `json:"secret" example:"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDdtpzqqGaj3M="`
	// FromSeq is the seq of the message to begin with, or of the oldest one that is kept after it; without it, the first message that is stored from now on. It says nothing where the endpoint is there already.
	FromSeq *int `json:"from_seq" minimum:"1" example:"1"`
} //@name CreateEndpoint

// Domain returns what the caller asks for, or an ErrInvalid.
func (r *CreateEndpoint) Domain() (domain.EndpointChange, error) {
	change := ChangeEndpoint{
		URL: r.URL, Description: r.Description, ExternalID: r.ExternalID, Types: r.Types, TimeoutMS: r.TimeoutMS, Concurrency: r.Concurrency,
		Rate: r.Rate, Ordering: r.Ordering, OnFailure: r.OnFailure, Retry: r.Retry, Headers: r.Headers, Secret: r.Secret,
	}
	c, err := change.Domain()
	if r.FromSeq != nil {
		c.FromSeq = domain.SetTo(*r.FromSeq)
	}
	return c, err
}

// ChangeEndpoint is the body of PATCH /tenants/{id}/endpoints/{endpoint_id}; what is
// left out stays as it is.
type ChangeEndpoint struct {
	// URL is an http or https URL with at most 2000 bytes.
	URL *string `json:"url" maxLength:"2000" example:"https://example.com/hooks/orders"`
	// Description has at most 2000 characters.
	Description *string `json:"description" example:"Orders for the warehouse"`
	// ExternalID is a name of your own, unique in the tenant, with at most 200 bytes; null for none.
	ExternalID json.RawMessage `json:"external_id" swaggertype:"string" maxLength:"200" extensions:"x-nullable" example:"warehouse"`
	// Types are at most 50 patterns of the types of messages that it gets; none, or null, for all. Messages that were passed before are not looked at again.
	Types json.RawMessage `json:"types" swaggertype:"array,string" extensions:"x-nullable" example:"order.*"`
	// TimeoutMS is how long the endpoint may take for its answer, in milliseconds; null for 5000.
	TimeoutMS json.RawMessage `json:"timeout_ms" swaggertype:"integer" minimum:"100" maximum:"15000" extensions:"x-nullable" example:"5000"`
	// Concurrency is how many deliveries may be under way at a time; null for as many as the tenant has workers.
	Concurrency json.RawMessage `json:"concurrency" swaggertype:"integer" minimum:"1" maximum:"100" extensions:"x-nullable" example:"5"`
	// Rate is how many deliveries may begin in a second; 0 or null for any number.
	Rate json.RawMessage `json:"rate" swaggertype:"integer" minimum:"0" maximum:"100000" extensions:"x-nullable" example:"0"`
	// Ordering is as at creation.
	Ordering *string `json:"ordering" enums:"none,fifo,key" example:"none"`
	// OnFailure is for ordering fifo, as at creation; null for block.
	OnFailure json.RawMessage `json:"on_failure" swaggertype:"string" enums:"block,skip" extensions:"x-nullable" example:"block"`
	// Retry says when a delivery that failed is tried again; null for the default.
	Retry RetrySettings `json:"retry" extensions:"x-nullable"`
	// Headers are added to those that there are; null takes one away, *** leaves it as it is, and null in the place of the object takes all away.
	Headers json.RawMessage `json:"headers" swaggertype:"object,string" extensions:"x-nullable" example:"Authorization:Bearer abc"`
	// Secret is a signing secret of your own. The one before signs along for 24 hours.
	Secret *string `json:"secret" example:"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDdtpzqqGaj3M="`
} //@name ChangeEndpoint

// Domain returns what the caller wants changed, or an ErrInvalid.
func (r *ChangeEndpoint) Domain() (domain.EndpointChange, error) {
	var f fieldReader
	c := domain.EndpointChange{
		URL: given(r.URL), Description: given(r.Description), Ordering: given(r.Ordering), Secret: given(r.Secret),
		ExternalID: f.text("/external_id", r.ExternalID), OnFailure: f.text("/on_failure", r.OnFailure),
		Types:     readField[[]string](&f, "/types", r.Types, "must be a list of text, or null"),
		TimeoutMS: f.number("/timeout_ms", r.TimeoutMS), Concurrency: f.number("/concurrency", r.Concurrency), Rate: f.number("/rate", r.Rate),
		Headers: f.texts("/headers", r.Headers),
	}
	c.RetrySchedule, c.RetryFinal = f.retry("/retry", r.Retry.raw)
	return c, f.err()
}

// RetrySettings is what a body says of a policy.
type RetrySettings struct {
	// Schedule has at most 30 waits before the second, third, ... attempt, from 1s to 72h, of which each is 10 % shorter or longer at random; null for the default, 8 attempts over 27 h 35 m.
	Schedule []string `json:"schedule" extensions:"x-nullable" example:"5s,5m,30m,2h,5h,10h,10h"`
	// Final are HTTP statuses after which nothing is tried again; null for none.
	Final []int `json:"final" extensions:"x-nullable" example:"404"`

	raw json.RawMessage
} //@name RetrySettings

// UnmarshalJSON keeps what it is given until it is looked into.
func (r *RetrySettings) UnmarshalJSON(data []byte) error {
	r.raw = bytes.Clone(data)
	return nil
}

// RotateSecret is the body of POST .../rotate-secret.
type RotateSecret struct {
	// Grace is for how long the secret before signs along, from 0s to 168h.
	Grace *string `json:"grace" default:"24h" example:"24h"`
	// Secret is a signing secret of your own; without it one is made.
	Secret *string `json:"secret" example:"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDdtpzqqGaj3M="`
} //@name RotateSecret

// Domain returns what the caller asks for.
func (r *RotateSecret) Domain() domain.SecretRotation {
	return domain.SecretRotation{Grace: r.Grace, Secret: r.Secret}
}

// fieldReader reads members that may be null, and remembers what is wrong with them.
type fieldReader struct{ fields []domain.FieldError }

func (f *fieldReader) wrong(pointer, problem string) {
	f.fields = append(f.fields, domain.FieldError{Pointer: pointer, Message: problem})
}

func (f *fieldReader) err() error {
	if len(f.fields) == 0 {
		return nil
	}
	return domain.WithFields(f.fields...)
}

// given returns the setting of a member that cannot be null.
func given[T any](value *T) domain.Setting[T] {
	return domain.Setting[T]{Said: value != nil, Value: value}
}

// readField reads a member. Expected says what it has to be.
func readField[T any](f *fieldReader, pointer string, raw json.RawMessage, expected string) domain.Setting[T] {
	if raw == nil {
		return domain.Setting[T]{}
	}
	var value *T
	if json.Unmarshal(raw, &value) != nil {
		f.wrong(pointer, expected)
	}
	return domain.Setting[T]{Said: true, Value: value}
}

func (f *fieldReader) number(pointer string, raw json.RawMessage) domain.Setting[int] {
	return readField[int](f, pointer, raw, "must be an integer or null")
}

// text refuses halves of characters, which would come back as something else.
func (f *fieldReader) text(pointer string, raw json.RawMessage) domain.Setting[string] {
	s := readField[string](f, pointer, raw, "must be a string or null")
	if s.Value != nil && loneSurrogate(*s.Value, raw) {
		f.wrong(pointer, halfCharacters)
	}
	return s
}

const halfCharacters = "must not contain lone surrogates"

// loneSurrogate reports whether a JSON string that was read as text, with U+FFFD in it,
// names that character nowhere.
func loneSurrogate(text string, raw json.RawMessage) bool {
	return strings.ContainsRune(text, utf8.RuneError) && !bytes.ContainsRune(raw, utf8.RuneError) && !bytes.Contains(bytes.ToLower(raw), []byte(`\ufffd`))
}

// texts reads an object of texts and nulls.
func (f *fieldReader) texts(pointer string, raw json.RawMessage) domain.Setting[map[string]*string] {
	texts := make(map[string]*string)
	said, null := f.object(pointer, raw, func(name string, value json.RawMessage) string {
		var text *string
		if json.Unmarshal(value, &text) != nil {
			return "must be a string or null"
		}
		if text != nil && loneSurrogate(*text, value) {
			return halfCharacters
		}
		texts[name] = text
		return ""
	})
	if null || !said {
		return domain.Setting[map[string]*string]{Said: said}
	}
	return domain.SetTo(texts)
}

func (f *fieldReader) retry(pointer string, raw json.RawMessage) (schedule domain.Setting[[]string], final domain.Setting[[]int]) {
	_, null := f.object(pointer, raw, func(name string, value json.RawMessage) string {
		switch name {
		case "schedule":
			schedule = readField[[]string](f, pointer+"/schedule", value, "must be a list of durations as text, or null")
		case "final":
			final = readField[[]int](f, pointer+"/final", value, "must be a list of HTTP statuses, or null")
		default:
			return "is not a known field"
		}
		return ""
	})
	if null {
		schedule.Said, final.Said = true, true
	}
	return schedule, final
}

// object reads the members of an object, each of which may occur once, or null.
func (f *fieldReader) object(pointer string, raw json.RawMessage, member func(name string, value json.RawMessage) string) (said, null bool) {
	if raw == nil {
		return false, false
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	opening, err := decoder.Token()
	if err == nil && opening == nil {
		return true, true
	}
	if err != nil || opening != json.Delim('{') {
		f.wrong(pointer, "must be an object or null")
		return true, false
	}
	seen := make(map[string]bool)
	for decoder.More() && len(f.fields) < maxFieldErrors {
		token, _ := decoder.Token() // the document as a whole was valid
		name, _ := token.(string)
		var value json.RawMessage
		_ = decoder.Decode(&value)
		problem := "must be given once"
		if !seen[name] {
			problem = member(name, value)
		}
		if seen[name] = true; problem != "" {
			f.wrong(domain.Pointer(strings.TrimPrefix(pointer, "/"), name), problem)
		}
	}
	return true, false
}

// maxFieldErrors is how many errors of fields are worth telling.
const maxFieldErrors = 20
