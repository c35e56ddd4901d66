package pager

import (
	"context"
	"fmt"
)

// Part describes what one read has returned.
type Part struct {
	// Rows is how many there are, and Bytes what they take.
	Rows, Bytes int
	// More says that others follow, of which the first takes NextBytes, when it
	// is for want of room that the part ends before it; else 0.
	More      bool
	NextBytes int
}

// Options say how pages made of parts P are read.
type Options[P any] struct {
	// Read returns up to limit rows of at most maxBytes together, that follow
	// after the part that was read before; that is nil at first. A part without
	// rows, but with More, leaves the part before as it was.
	Read func(ctx context.Context, before *P, limit, maxBytes int) (P, error)
	// Describe says what a part has.
	Describe func(*P) Part
	// Reserve waits for so much memory, and returns what gives it back.
	Reserve func(ctx context.Context, bytes int) (release func(), err error)
	// CutShort returns the empty last part of a page whose rest cannot be read.
	CutShort func(ctx context.Context, err error) P
	// FirstBytes is what the first part may take, PartBytes what a later one may
	// unless a single row takes more, and PageBytes what all of them may, beyond
	// which the page ends early.
	FirstBytes, PartBytes, PageBytes int
}

// Read reads a page of up to limit rows in parts and hands each to take, of which
// the last has last set and may be empty. What is reserved for a part is given
// back when take returns. Errors are those of take, and before its first call
// those of Read.
func Read[P any](ctx context.Context, o Options[P], limit int, take func(part P, last bool) error) error {
	var before *P
	maxBytes, rows, bytes := o.FirstBytes, 0, 0
	for reserve := 0; ; reserve = maxBytes {
		part, release, err := read(ctx, o, before, limit-rows, maxBytes, reserve)
		if err != nil && rows == 0 {
			release()
			return err
		}
		cut := err != nil
		if cut {
			part = o.CutShort(ctx, err)
		}
		d := o.Describe(&part)
		rows += d.Rows
		bytes += d.Bytes
		last := cut || !d.More || rows >= limit || rows > 0 && bytes+d.NextBytes > o.PageBytes
		if last || d.Rows > 0 {
			err = take(part, last)
		}
		release()
		if last || err != nil {
			return err
		}
		if d.Rows > 0 {
			before = &part
		}
		maxBytes = max(d.NextBytes, o.PartBytes)
	}
}

// read reads after it has reserved so many bytes. Release must be called in any
// case.
func read[P any](ctx context.Context, o Options[P], before *P, limit, maxBytes, reserve int) (part P, release func(), err error) {
	release = func() {}
	if reserve > 0 {
		reserved, err := o.Reserve(ctx, reserve)
		if err != nil {
			return part, release, fmt.Errorf("reserve memory: %w", err)
		}
		release = reserved
	}
	part, err = o.Read(ctx, before, limit, maxBytes)
	return part, release, err
}
