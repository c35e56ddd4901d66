package client

import "encoding/json"

// Optional is a field of a change that can be left as it is, set, or taken back to
// its default. The zero value leaves it.
type Optional[T any] struct {
	said  bool
	value *T
}

// Set returns a field that is to have this value.
func Set[T any](value T) Optional[T] { return Optional[T]{true, &value} }

// Default returns a field that is to have its default.
func Default[T any]() Optional[T] { return Optional[T]{said: true} }

// IsZero reports whether the field is to be left as it is.
func (o Optional[T]) IsZero() bool { return !o.said }

// MarshalJSON implements json.Marshaler.
func (o Optional[T]) MarshalJSON() ([]byte, error) {
	return json.Marshal(o.value) //nolint:wrapcheck // of the encoder that calls it
}
