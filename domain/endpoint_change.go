package domain

import (
	"fmt"
	"maps"
	"net/textproto"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Setting is what a caller says of a field.
type Setting[T any] struct {
	// Said: the caller says something of it; else it stays as it is.
	Said bool
	// Value is what it is to be; nil for its default.
	Value *T
}

// SetTo returns the setting of a field to a value.
func SetTo[T any](value T) Setting[T] { return Setting[T]{Said: true, Value: &value} }

// apply sets a field.
func (s Setting[T]) apply(field *T, byDefault T) {
	switch {
	case !s.Said:
	case s.Value == nil:
		*field = byDefault
	default:
		*field = *s.Value
	}
}

// value returns what the field is to be, unless that is its default or what it is.
func (s Setting[T]) value() (value T, given bool) {
	if s.Value == nil {
		return value, false
	}
	return *s.Value, true
}

// HeaderKept is what callers see of the value of a header, and with which they leave
// it as it is.
const HeaderKept = "***"

// EndpointChange is what a caller says of an endpoint.
type EndpointChange struct {
	URL         Setting[string]
	Description Setting[string]
	ExternalID  Setting[string]
	Types       Setting[[]string]
	TimeoutMS   Setting[int]
	Concurrency Setting[int]
	Rate        Setting[int]
	Ordering    Setting[string]
	OnFailure   Setting[string]
	// RetrySchedule has durations as text, as time.ParseDuration takes them.
	RetrySchedule Setting[[]string]
	RetryFinal    Setting[[]int]
	// Headers are added to those that there are; nil takes one away, and HeaderKept
	// leaves it as it is. Its default is to have none.
	Headers Setting[map[string]*string]
	// Secret is an own one, as ParseSecret takes it. It cannot be taken away.
	Secret Setting[string]
	// FromSeq is the message to begin with, of an endpoint that is new.
	FromSeq Setting[int]
	// AllHeaders: Headers are all that there are to be.
	AllHeaders bool
}

// EndpointRules are what only those who deliver know. Each returns what is wrong, or
// "".
type EndpointRules struct {
	CheckURL    func(url string) string
	CheckHeader func(name, value string) string
}

// NewEndpoint returns the endpoint that a caller asks for, active and with a fresh
// id. It has a secret of its own unless the caller gives one. The error names every
// field that is wrong.
func NewEndpoint(tenantID uuid.UUID, c *EndpointChange, rules EndpointRules) (Endpoint, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Endpoint{}, fmt.Errorf("make endpoint id: %w", err)
	}
	e := Endpoint{
		ID: id, TenantID: tenantID, Timeout: DefaultEndpointTimeout, Ordering: OrderingNone, OnFailure: FailureBlocks,
		Retry: DefaultRetryPolicy(), Status: EndpointActive,
	}
	fields := c.apply(&e, rules)
	if _, given := c.URL.value(); !given {
		fields = append([]FieldError{{"/url", "is required"}}, fields...)
	}
	if seq, given := c.FromSeq.value(); given && seq < 1 {
		fields = append(fields, FieldError{"/from_seq", "must be 1 or more"})
	}
	if len(fields) > 0 {
		return Endpoint{}, WithFields(fields...)
	}
	if len(e.Secret) == 0 {
		e.Secret = NewSecret()
	}
	return e, nil
}

// Cursor returns where a new endpoint begins.
func (c *EndpointChange) Cursor() NewCursor {
	seq, _ := c.FromSeq.value()
	return NewCursor{FromSeq: int64(seq)}
}

// Apply checks and applies the change to an endpoint that there is. A secret that is
// another one takes the place of the one before, which signs along for
// DefaultSecretGrace from now on. On error, which names every field that is wrong, the
// endpoint is unchanged; it is an ErrConflict (code endpoint_unreadable) where secret
// and headers cannot be decrypted and only one of them is given anew.
func (c *EndpointChange) Apply(e *Endpoint, rules EndpointRules, now time.Time) error {
	changed := *e
	fields := c.apply(&changed, rules)
	if c.URL.Said && c.URL.Value == nil {
		fields = append([]FieldError{{"/url", "must be a string"}}, fields...)
	}
	if len(fields) > 0 {
		return WithFields(fields...)
	}
	switch _, secret := c.Secret.value(); {
	case e.Unreadable && secret && c.Headers.Said:
		changed.Unreadable, changed.OldSecret, changed.OldSecretUntil = false, nil, time.Time{}
	case e.Unreadable && (secret || c.Headers.Said):
		return EndpointUnreadable()
	case secret && !slices.Equal(changed.Secret, e.Secret):
		changed.OldSecret, changed.OldSecretUntil = e.Secret, now.Add(DefaultSecretGrace)
	}
	*e = changed
	return nil
}

// EndpointUnreadable is the answer where an endpoint's secret is needed that cannot be
// decrypted.
func EndpointUnreadable() error {
	return New(ErrConflict, "endpoint_unreadable", "Its secret and headers cannot be decrypted: the key that they were encrypted with is not among encryption_keys. "+
		"Have it put back there, or set both secret and headers anew.")
}

// WithDefaults returns the change that sets what it says nothing of to its default;
// but not the secret, which callers cannot read.
func (c *EndpointChange) WithDefaults() EndpointChange {
	full := *c
	full.AllHeaders = true
	for _, said := range []*bool{
		&full.Description.Said, &full.ExternalID.Said, &full.Types.Said, &full.TimeoutMS.Said, &full.Concurrency.Said, &full.Rate.Said,
		&full.Ordering.Said, &full.OnFailure.Said, &full.RetrySchedule.Said, &full.RetryFinal.Said, &full.Headers.Said,
	} {
		*said = true
	}
	return full
}

// apply applies the change and returns what is wrong with it.
func (c *EndpointChange) apply(e *Endpoint, rules EndpointRules) []FieldError {
	var fields []FieldError
	wrong := func(pointer, problem string) {
		if problem != "" {
			fields = append(fields, FieldError{pointer, problem})
		}
	}
	if text, given := c.URL.value(); given {
		problem := CheckEndpointURL(text)
		if problem == "" && rules.CheckURL != nil {
			problem = rules.CheckURL(text)
		}
		wrong("/url", problem)
		e.URL = text
	}
	c.Description.apply(&e.Description, "")
	wrong("/description", checkEndpointDescription(e.Description))
	if text, given := c.ExternalID.value(); given {
		wrong("/external_id", checkExternalID(text))
	}
	c.ExternalID.apply(&e.ExternalID, "")
	fields = append(fields, c.applyTypes(e)...)
	fields = append(fields, c.applyNumbers(e)...)
	fields = append(fields, c.applyOrdering(e)...)
	fields = append(fields, c.applyRetry(e)...)
	fields = append(fields, c.applyHeaders(e, rules.CheckHeader)...)
	if text, given := c.Secret.value(); given {
		secret, problem := ParseSecret(text)
		wrong("/secret", problem)
		e.Secret = secret
	}
	return fields
}

func checkEndpointDescription(text string) string {
	if fields := checkTenantDescription(text); fields != nil { // of the same kind
		return fields[0].Message
	}
	return ""
}

// checkExternalID refuses also what does not survive in a path.
func checkExternalID(text string) string {
	switch {
	case text == "":
		return "must not be empty; null is for none"
	case len(text) > MaxEndpointExternalIDLength:
		return fmt.Sprintf("must have at most %d bytes", MaxEndpointExternalIDLength)
	case !storableText(text):
		return "must be valid UTF-8 without control characters"
	case text == "." || text == "..":
		return "must not be . or .., which have a meaning of their own in paths"
	}
	return ""
}

func (c *EndpointChange) applyTypes(e *Endpoint) (fields []FieldError) {
	if c.Types.Said {
		texts, _ := c.Types.value()
		e.Types, fields = parseTypePatterns(texts)
	}
	return fields
}

// parseTypePatterns returns the patterns of the field types, and what is wrong with it.
func parseTypePatterns(texts []string) (patterns []TypePattern, fields []FieldError) {
	if len(texts) > MaxTypePatterns {
		return nil, []FieldError{{"/types", fmt.Sprintf("must have at most %d patterns", MaxTypePatterns)}}
	}
	for i, text := range texts {
		pattern, problem := ParseTypePattern(text)
		if problem == "" && slices.Contains(patterns, pattern) {
			problem = "must not occur twice"
		}
		if problem != "" {
			fields = append(fields, FieldError{fmt.Sprintf("/types/%d", i), problem})
		}
		patterns = append(patterns, pattern)
	}
	return patterns, fields
}

func (c *EndpointChange) applyNumbers(e *Endpoint) []FieldError {
	var fields []FieldError
	within := func(pointer string, s Setting[int], low, high int) {
		if n, given := s.value(); given && (n < low || n > high) {
			fields = append(fields, FieldError{pointer, fmt.Sprintf("must be between %d and %d", low, high)})
		}
	}
	within("/timeout_ms", c.TimeoutMS, int(MinEndpointTimeout.Milliseconds()), int(MaxEndpointTimeout.Milliseconds()))
	within("/concurrency", c.Concurrency, 1, MaxEndpointConcurrency)
	within("/rate", c.Rate, 0, MaxEndpointRate)
	timeout := int(e.Timeout.Milliseconds())
	c.TimeoutMS.apply(&timeout, int(DefaultEndpointTimeout.Milliseconds()))
	e.Timeout = time.Duration(timeout) * time.Millisecond
	c.Concurrency.apply(&e.Concurrency, 0)
	c.Rate.apply(&e.Rate, 0)
	return fields
}

func (c *EndpointChange) applyOrdering(e *Endpoint) []FieldError {
	var fields []FieldError
	ordering, onFailure := string(e.Ordering), string(e.OnFailure)
	c.Ordering.apply(&ordering, string(OrderingNone))
	c.OnFailure.apply(&onFailure, string(FailureBlocks))
	e.Ordering, e.OnFailure = Ordering(ordering), OnFailure(onFailure)
	switch e.Ordering {
	case OrderingNone, OrderingFIFO, OrderingKey:
	default:
		fields = append(fields, FieldError{"/ordering", `must be "none", "fifo" or "key"`})
	}
	switch _, given := c.OnFailure.value(); {
	case given && e.OnFailure != FailureBlocks && e.OnFailure != FailureSkips:
		fields = append(fields, FieldError{"/on_failure", `must be "block" or "skip"`})
	case given && e.Ordering != OrderingFIFO:
		fields = append(fields, FieldError{"/on_failure", `must be left out unless ordering is "fifo": elsewhere a message that failed holds no others`})
	case e.Ordering != OrderingFIFO:
		e.OnFailure = FailureBlocks
	}
	return fields
}

func (c *EndpointChange) applyRetry(e *Endpoint) []FieldError {
	if c.RetrySchedule.Said {
		e.Retry.Schedule = DefaultRetryPolicy().Schedule
		if texts, given := c.RetrySchedule.value(); given {
			schedule, fields := parseSchedule(texts)
			if fields != nil {
				return fields
			}
			e.Retry.Schedule = schedule
		}
	}
	if c.RetryFinal.apply(&e.Retry.Final, nil); len(e.Retry.Final) == 0 {
		e.Retry.Final = nil
	}
	return e.Retry.Check()
}

func parseSchedule(texts []string) (schedule []time.Duration, fields []FieldError) {
	for i, text := range texts {
		wait, err := time.ParseDuration(text)
		if err != nil && i < 2*MaxRetrySteps { // nobody reads more of them
			fields = append(fields, FieldError{fmt.Sprintf("/retry/schedule/%d", i), `must be a duration with a unit, such as "90s", "5m" or "1h30m"`})
		}
		schedule = append(schedule, wait.Round(time.Millisecond))
	}
	return schedule, fields
}

func (c *EndpointChange) applyHeaders(e *Endpoint, check func(name, value string) string) []FieldError {
	if !c.Headers.Said {
		return nil
	}
	given, _ := c.Headers.value()
	headers := make(map[string]string)
	if given != nil && !c.AllHeaders {
		maps.Copy(headers, e.Headers)
	}
	var fields []FieldError
	seen := make(map[string]bool, len(given))
	for _, name := range slices.Sorted(maps.Keys(given)) {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		problem := "must be given once, in whatever letters"
		if !seen[canonical] {
			problem = applyHeader(headers, e.Headers, canonical, given[name], check)
		}
		if seen[canonical] = true; problem != "" && len(fields) < MaxEndpointHeaders {
			fields = append(fields, FieldError{Pointer("headers", name), problem})
		}
	}
	if len(headers) > MaxEndpointHeaders {
		fields = append(fields, FieldError{"/headers", fmt.Sprintf("must be at most %d", MaxEndpointHeaders)})
	}
	if e.Headers = headers; len(headers) == 0 {
		e.Headers = nil
	}
	return fields
}

// applyHeader sets one header, takes it away, or keeps what it was before, and returns
// what is wrong with it.
func applyHeader(headers, before map[string]string, name string, value *string, check func(name, value string) string) string {
	kept, there := before[name]
	switch {
	case value == nil:
		delete(headers, name)
	case *value != HeaderKept:
		headers[name] = *value
		if check != nil {
			return check(name, *value)
		}
	case there:
		headers[name] = kept
	default:
		return "must have a value: *** leaves one that is there as it is"
	}
	return ""
}
