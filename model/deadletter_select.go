package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"lanekeeper/domain"
)

// SelectDeadLetters is the body of calls about several dead letters. Give exactly one
// of its members.
type SelectDeadLetters struct {
	// IDs has 1 to 1000 ids.
	IDs json.RawMessage `json:"ids" swaggertype:"array,integer" example:"17,18"`
	// All is true for all that there are when the call begins.
	All *bool `json:"all" example:"true"`
	// Filter is for those of them that match.
	Filter DeadLetterFilter `json:"filter"`
} //@name SelectDeadLetters

// DeadLetterFilter restricts which dead letters are meant. It has one member at least.
type DeadLetterFilter struct {
	Reason     *string `json:"reason" enums:"invalid_payload,invalid_headers,id_conflict,not_storable,delivery_failed,transmit_failed,endpoint_paused,unknown" example:"delivery_failed"`
	EndpointID *string `json:"endpoint_id" format:"uuid" example:"0197a3a4-7d2c-7c3e-8f7e-0242ac120004"`
	// From and To are between which times they were recorded; a letter of to is none
	// of them.
	From *string `json:"from" format:"date-time" example:"2026-11-21T10:00:00Z"`
	To   *string `json:"to" format:"date-time" example:"2026-11-22T10:00:00Z"`

	raw json.RawMessage
} //@name DeadLetterFilter

// UnmarshalJSON keeps what it is given until it is looked into.
func (f *DeadLetterFilter) UnmarshalJSON(data []byte) error {
	f.raw = bytes.Clone(data)
	return nil
}

// Domain returns which letters are meant, or an ErrInvalid.
func (r *SelectDeadLetters) Domain() (domain.DeadLetterSelection, error) {
	var given []string
	for _, member := range []struct {
		name  string
		given bool
	}{{"ids", r.IDs != nil}, {"all", r.All != nil}, {"filter", r.Filter.raw != nil}} {
		if member.given {
			given = append(given, member.name)
		}
	}
	switch {
	case len(given) == 0:
		return refuse("/ids", "is required, unless all or filter is given")
	case len(given) > 1:
		return refuse("/"+given[1], "must be left out when "+given[0]+" is given")
	case r.All != nil && !*r.All:
		return refuse("/all", "must be true when it is given")
	case r.All != nil:
		return domain.DeadLetterSelection{All: true}, nil
	case r.Filter.raw != nil:
		return r.Filter.domain()
	}
	// Pointers tell null from 0.
	var ids []*int64
	if err := json.Unmarshal(r.IDs, &ids); err != nil || len(ids) < 1 || len(ids) > domain.MaxDeadLetterIDs {
		return refuse("/ids", fmt.Sprintf("must be a list of 1 to %d ids, which are numbers", domain.MaxDeadLetterIDs))
	}
	selection := domain.DeadLetterSelection{Seqs: make([]int64, len(ids))}
	for i, id := range ids {
		if id == nil || *id < 1 {
			return refuse(fmt.Sprintf("/ids/%d", i), "must be a number above 0")
		}
		selection.Seqs[i] = *id
	}
	return selection, nil
}

func refuse(pointer, message string) (domain.DeadLetterSelection, error) {
	return domain.DeadLetterSelection{}, domain.WithFields(domain.FieldError{Pointer: pointer, Message: message})
}

// domain returns the letters that match. A filter that restricts nothing is refused:
// it would be about all, which few mean who forget what they filter by.
func (f *DeadLetterFilter) domain() (domain.DeadLetterSelection, error) {
	members := map[string]**string{"reason": &f.Reason, "endpoint_id": &f.EndpointID, "from": &f.From, "to": &f.To}
	decoder := json.NewDecoder(bytes.NewReader(f.raw))
	if begin, err := decoder.Token(); err != nil || begin != json.Delim('{') {
		return refuse("/filter", "must be an object")
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return refuse("/filter", "must be an object")
		}
		text, _ := name.(string)
		pointer := domain.Pointer("filter", text)
		member, known := members[text]
		switch {
		case !known:
			return refuse(pointer, "is not a known field")
		case *member != nil:
			return refuse(pointer, "must be given once")
		case decoder.Decode(member) != nil || *member == nil:
			return refuse(pointer, "must be a string")
		}
	}
	filter, wrong := domain.ParseDeadLetterFilter(f.Reason, f.EndpointID, f.From, f.To)
	if len(wrong) > 0 {
		wrong = slices.Clone(wrong)
		for i := range wrong {
			wrong[i].Pointer = domain.Pointer("filter", wrong[i].Pointer)
		}
		return domain.DeadLetterSelection{}, domain.WithFields(wrong...)
	}
	if filter.Empty() {
		return refuse("/filter", "must have one of reason, endpoint_id, from and to; give all for all letters")
	}
	return domain.DeadLetterSelection{Filter: filter}, nil
}
