package pager_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/pager"
)

// rows are numbered from 0 and have sizes.
type rows struct {
	sizes    []int
	failAt   int // the row from which on nothing can be read; 0 for none
	reads    []int
	reserved int
	most     int
	cut      int
}

type part struct {
	rows      []int
	bytes     int
	more      bool
	nextBytes int
}

var errAway = errors.New("away")

func (r *rows) options() pager.Options[part] {
	return pager.Options[part]{
		FirstBytes: 10, PartBytes: 100, PageBytes: 1000,
		Read: func(_ context.Context, before *part, limit, maxBytes int) (part, error) {
			r.reads = append(r.reads, maxBytes)
			next := 0
			if before != nil {
				next = before.rows[len(before.rows)-1] + 1
			}
			if r.failAt > 0 && next >= r.failAt {
				return part{}, errAway
			}
			var p part
			for ; next < len(r.sizes); next++ {
				if len(p.rows) == limit {
					p.more = true
					return p, nil
				}
				if p.bytes+r.sizes[next] > maxBytes {
					p.more, p.nextBytes = true, r.sizes[next]
					return p, nil
				}
				p.rows = append(p.rows, next)
				p.bytes += r.sizes[next]
			}
			return p, nil
		},
		Describe: func(p *part) pager.Part {
			return pager.Part{Rows: len(p.rows), Bytes: p.bytes, More: p.more, NextBytes: p.nextBytes}
		},
		Reserve: func(_ context.Context, bytes int) (func(), error) {
			r.reserved += bytes
			r.most = max(r.most, r.reserved)
			return func() { r.reserved -= bytes }, nil
		},
		CutShort: func(context.Context, error) part {
			r.cut++
			return part{more: true}
		},
	}
}

func repeat(size, n int) []int {
	sizes := make([]int, n)
	for i := range sizes {
		sizes[i] = size
	}
	return sizes
}

func TestPagesAreReadInParts(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		rows  rows
		limit int
		want  int   // rows
		reads []int // the most bytes of each
		more  bool
	}{
		"empty":                      {rows{}, 10, 0, []int{10}, false},
		"small":                      {rows{sizes: repeat(1, 5)}, 10, 5, []int{10}, false},
		"up to the limit":            {rows{sizes: repeat(1, 5)}, 3, 3, []int{10}, true},
		"in three parts":             {rows{sizes: repeat(5, 30)}, 100, 30, []int{10, 100, 100}, false},
		"a row larger than the part": {rows{sizes: []int{500, 1}}, 10, 2, []int{10, 500, 100}, false},
		"larger than a page":         {rows{sizes: repeat(90, 30)}, 100, 11, append([]int{10}, repeat(100, 11)...), true},
		"a row larger than a page":   {rows{sizes: []int{5000, 5000}}, 10, 1, []int{10, 5000}, true},
		"the rest is away":           {rows{sizes: repeat(5, 30), failAt: 22}, 100, 22, []int{10, 100, 100}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			next, more, ended := 0, false, false
			err := pager.Read(t.Context(), tt.rows.options(), tt.limit, func(p part, last bool) error {
				require.False(t, ended)
				require.True(t, last || len(p.rows) > 0)
				for _, row := range p.rows {
					require.Equal(t, next, row, "each row once and in order")
					next++
				}
				more, ended = p.more, last
				return nil
			})
			require.NoError(t, err)
			require.True(t, ended)
			require.Equal(t, tt.want, next)
			require.Equal(t, tt.reads, tt.rows.reads)
			require.Equal(t, tt.more, more)
			require.Zero(t, tt.rows.reserved)
		})
	}
}

func TestMemoryIsHeldWhileAPartIsTaken(t *testing.T) {
	t.Parallel()
	r := rows{sizes: repeat(5, 30)}
	var held []int
	require.NoError(t, pager.Read(t.Context(), r.options(), 100, func(part, bool) error {
		held = append(held, r.reserved)
		return nil
	}))
	require.Equal(t, []int{0, 100, 100}, held)
	require.Equal(t, 100, r.most)
}

func TestErrors(t *testing.T) {
	t.Parallel()
	errTaker := errors.New("the client has gone")
	r := rows{sizes: repeat(5, 30)}
	taken := 0
	err := pager.Read(t.Context(), r.options(), 100, func(part, bool) error {
		if taken++; taken == 2 {
			return errTaker
		}
		return nil
	})
	require.ErrorIs(t, err, errTaker)
	require.Equal(t, 2, taken)
	require.Zero(t, r.reserved)

	// Before the first row the caller learns why there is none.
	o := r.options()
	o.Read = func(context.Context, *part, int, int) (part, error) { return part{}, errAway }
	require.ErrorIs(t, pager.Read(t.Context(), o, 100, func(part, bool) error { return errTaker }), errAway)
	large := rows{sizes: []int{50}}
	o = large.options()
	o.Reserve = func(context.Context, int) (func(), error) { return nil, errAway }
	require.ErrorIs(t, pager.Read(t.Context(), o, 100, func(part, bool) error { return errTaker }), errAway)
	require.Zero(t, large.cut)

	// What was reserved for a row that cannot be read then is given back.
	o = large.options()
	read := o.Read
	o.Read = func(ctx context.Context, before *part, limit, maxBytes int) (part, error) {
		if maxBytes > 10 {
			return part{}, errAway
		}
		return read(ctx, before, limit, maxBytes)
	}
	require.ErrorIs(t, pager.Read(t.Context(), o, 100, func(part, bool) error { return errTaker }), errAway)
	require.Equal(t, 100, large.most)
	require.Zero(t, large.reserved)

	// Later ones end the page.
	o = r.options()
	o.Reserve = func(context.Context, int) (func(), error) { return nil, errAway }
	require.NoError(t, pager.Read(t.Context(), o, 100, func(part, bool) error { return nil }))
	require.Equal(t, 1, r.cut)
}
