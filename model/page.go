package model

import "github.com/google/uuid"

// StartCursor is the cursor before everything.
const StartCursor = "0"

// cursors returns the cursors of a page whose last item is at last ("" for an
// empty page) and which was asked for with the cursor sent ("" for none).
func cursors(last string, more bool, sent string) (nextCursor, lastCursor string) {
	if last == "" {
		last = sent
	}
	if last == "" {
		last = StartCursor
	}
	if more {
		nextCursor = last
	}
	return nextCursor, last
}

// optionalID returns nil for the zero UUID.
func optionalID(id uuid.UUID) *string {
	if id == uuid.Nil {
		return nil
	}
	text := id.String()
	return &text
}
