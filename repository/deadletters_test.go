package repository

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/domain"
)

// newLane makes a tenant with a row and a partition.
func (d *database) newLane(t testing.TB) uuid.UUID {
	t.Helper()
	tenant := newTenant(t, uuid.Nil)
	require.NoError(t, d.store.InsertTenant(t.Context(), tenant, nil))
	require.NoError(t, d.store.CreatePartition(t.Context(), tenant.ID))
	return tenant.ID
}

// findLetter reads one letter.
func (d *database) findLetter(t testing.TB, tenantID uuid.UUID, seq int64) (domain.DeadLetter, error) {
	t.Helper()
	letters, _, err := d.store.ListDeadLetters(t.Context(), domain.DeadLetterQuery{TenantID: tenantID, After: seq - 1, UpTo: seq, Limit: 1, Replayed: true})
	if err == nil && len(letters) == 0 {
		return domain.DeadLetter{}, domain.DeadLetterNotFound()
	}
	return letters[0], err
}

func letter(t testing.TB, tenantID uuid.UUID, body string) domain.DeadLetter {
	t.Helper()
	return domain.DeadLetter{
		ID: newID(t), TenantID: tenantID, MessageID: "order-1", Body: []byte(body),
		Headers: map[string]any{}, Reason: domain.ReasonInvalidPayload, Error: "it is not JSON", Attempts: 2,
	}
}

// record records letters and returns them as they are stored.
func (d *database) record(t testing.TB, letters ...domain.DeadLetter) []domain.DeadLetter {
	t.Helper()
	require.NoError(t, d.store.RecordDeadLetters(t.Context(), letters))
	all, _, err := d.store.ListDeadLetters(t.Context(), domain.DeadLetterQuery{TenantID: letters[0].TenantID, Limit: 10_000, Replayed: true})
	require.NoError(t, err)
	return all
}

func TestDeadLetterIsKept(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newLane(t)
	sent := letter(t, id, "not json \xff\x00")
	sent.Headers = map[string]any{"n": int64(9007199254740993), "text": "yes"}
	stored := d.record(t, sent)
	require.Len(t, stored, 1)
	require.WithinDuration(t, time.Now(), stored[0].CreatedAt, time.Minute)
	require.Positive(t, stored[0].Seq)
	require.False(t, stored[0].Replayed())
	found, err := d.findLetter(t, id, stored[0].Seq)
	require.NoError(t, err)
	require.Equal(t, stored[0], found)
	sent.Seq, sent.CreatedAt = found.Seq, found.CreatedAt
	sent.Headers["n"] = json.Number("9007199254740993")
	require.Equal(t, sent, found)

	empty := letter(t, id, "")
	empty.Body, empty.MessageID, empty.Headers = nil, "", nil
	stored = d.record(t, empty)
	require.Len(t, stored, 2)
	require.Equal(t, []byte{}, stored[1].Body)
	require.Greater(t, stored[1].Seq, stored[0].Seq)

	_, err = d.findLetter(t, id, stored[1].Seq+1)
	require.ErrorIs(t, err, domain.ErrNotFound)
	other := d.newLane(t)
	_, err = d.findLetter(t, other, stored[0].Seq)
	require.ErrorIs(t, err, domain.ErrNotFound, "it is another tenant's")
	last, err := d.store.LastDeadLetter(t.Context(), other)
	require.NoError(t, err)
	require.Zero(t, last)
}

// A letter that is delivered again, in the same batch or in another, to this
// replica or to another, is recorded once.
func TestDeadLetterIsRecordedOnce(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id, other := d.newLane(t), d.newLane(t)
	letters := make([]domain.DeadLetter, 50)
	for i := range letters {
		letters[i] = letter(t, id, fmt.Sprint(i))
	}
	stores := []*Store{d.store, d.open(t, Options{})}
	var g errgroup.Group
	for i := range 10 {
		g.Go(func() error {
			return stores[i%2].RecordDeadLetters(t.Context(), append(letters[i*2:i*2+30:i*2+30], letters[i*2]))
		})
	}
	require.NoError(t, g.Wait())
	require.Len(t, d.record(t, letters...), len(letters))

	same := letter(t, other, "x")
	same.ID = letters[0].ID
	require.Len(t, d.record(t, same, letters[1]), 1, "ids belong to their tenant")
}

// Following the cursor while letters are recorded misses none.
func TestDeadLettersAreCommittedInTheirOrder(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newLane(t)
	const writers, each = 4, 50
	done := make(chan error, writers)
	for range writers {
		letters := make([]domain.DeadLetter, each)
		for i := range letters {
			letters[i] = letter(t, id, fmt.Sprint(i))
		}
		go func() {
			var err error
			for i := 0; i < each && err == nil; i++ {
				err = d.store.RecordDeadLetters(t.Context(), letters[i:i+1])
			}
			done <- err
		}()
	}
	seen, after, finished := 0, int64(0), 0
	for {
		select {
		case err := <-done:
			require.NoError(t, err)
			finished++
		default:
		}
		last := finished == writers
		page, more, err := d.store.ListDeadLetters(t.Context(), domain.DeadLetterQuery{TenantID: id, After: after, Limit: 7})
		require.NoError(t, err)
		seen += len(page)
		if len(page) > 0 {
			after = page[len(page)-1].Seq
		}
		if last && !more && len(page) == 0 {
			break
		}
	}
	require.Equal(t, writers*each, seen)
}

func TestDeadLetterPages(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newLane(t)
	var letters []domain.DeadLetter
	for i := range 10 {
		letters = append(letters, letter(t, id, strings.Repeat(string(rune('a'+i)), 1<<20)))
	}
	all := d.record(t, append(letters, letter(t, id, strings.Repeat("z", 9<<20)), letter(t, id, "last"))...)
	require.Less(t, len(all), len(letters), "a page is bounded in bytes")
	var read []string
	q := domain.DeadLetterQuery{TenantID: id, Limit: 1000}
	for pages := 1; ; pages++ {
		page, more, err := d.store.ListDeadLetters(t.Context(), q)
		require.NoError(t, err)
		size := 0
		for _, l := range page {
			size += len(l.Body)
			read = append(read, string(l.Body[:1]))
		}
		require.True(t, size <= maxPageBytes || len(page) == 1)
		q.After = page[len(page)-1].Seq
		if !more {
			require.Equal(t, 4, pages, "7, 3, the large one, the last")
			break
		}
	}
	require.Equal(t, strings.Split("abcdefghijzl", ""), read)

	page, more, err := d.store.ListDeadLetters(t.Context(), domain.DeadLetterQuery{TenantID: id, Limit: 2, After: all[0].Seq, UpTo: all[2].Seq})
	require.NoError(t, err)
	require.False(t, more)
	require.Equal(t, all[1:3], page)
	page, more, err = d.store.ListDeadLetters(t.Context(), domain.DeadLetterQuery{TenantID: id, Limit: 2})
	require.NoError(t, err)
	require.True(t, more)
	require.Equal(t, all[:2], page)
	page, more, err = d.store.ListDeadLetters(t.Context(), domain.DeadLetterQuery{TenantID: id})
	require.NoError(t, err)
	require.False(t, more)
	require.Empty(t, page)
}

func TestReplayedDeadLetters(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id, other := d.newLane(t), d.newLane(t)
	all := d.record(t, letter(t, id, "1"), letter(t, id, "2"), letter(t, id, "3"))
	foreign := d.record(t, letter(t, other, "4"))
	seqs := []int64{all[1].Seq, foreign[0].Seq, math.MaxInt64}
	require.NoError(t, d.store.MarkReplayed(t.Context(), id, seqs))

	waiting, err := d.store.WaitingDeadLetters(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[uuid.UUID]int64{id: 2, other: 1}, waiting)
	hidden, more, err := d.store.ListDeadLetters(t.Context(), domain.DeadLetterQuery{TenantID: id, Limit: 2})
	require.NoError(t, err)
	require.False(t, more)
	require.Equal(t, []domain.DeadLetter{all[0], all[2]}, hidden)
	shown, _, err := d.store.ListDeadLetters(t.Context(), domain.DeadLetterQuery{TenantID: id, Limit: 3, Replayed: true})
	require.NoError(t, err)
	require.Len(t, shown, 3)
	require.True(t, shown[1].Replayed())
	require.WithinDuration(t, time.Now(), shown[1].ReplayedAt, time.Minute)

	picked, err := d.store.PickDeadLetters(t.Context(), id, append(seqs, all[2].Seq, all[0].Seq, all[0].Seq))
	require.NoError(t, err)
	require.Equal(t, []domain.DeadLetter{all[0], all[2]}, picked)
	n, err := d.store.CountDeadLetters(t.Context(), domain.DeadLetterQuery{TenantID: id, UpTo: all[1].Seq})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	last, err := d.store.LastDeadLetter(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, all[2].Seq, last)
}

func TestDeleteDeadLetters(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id, other := d.newLane(t), d.newLane(t)
	many := make([]domain.DeadLetter, 3*deadLetterChunk/2)
	for i := range many {
		many[i] = letter(t, id, fmt.Sprint(i))
	}
	all := d.record(t, many...)
	foreign := d.record(t, letter(t, other, "x"))
	n, err := d.store.DeleteDeadLetters(t.Context(), id, []int64{all[0].Seq, all[1].Seq, all[0].Seq, foreign[0].Seq, -1}, 0)
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	n, err = d.store.DeleteDeadLetters(t.Context(), id, []int64{}, math.MaxInt64)
	require.NoError(t, err)
	require.Zero(t, n, "none is not all")
	require.NoError(t, d.store.MarkReplayed(t.Context(), id, []int64{all[2].Seq}))
	n, err = d.store.DeleteDeadLetters(t.Context(), id, nil, all[len(all)-2].Seq)
	require.NoError(t, err)
	require.EqualValues(t, len(all)-3, n)
	left, _, err := d.store.ListDeadLetters(t.Context(), domain.DeadLetterQuery{TenantID: id, Limit: 10, Replayed: true})
	require.NoError(t, err)
	require.Equal(t, all[len(all)-1:], left)
	_, err = d.findLetter(t, other, foreign[0].Seq)
	require.NoError(t, err)
}

func TestDeadLettersVanishWithTheirTenant(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id, other := d.newLane(t), d.newLane(t)
	d.record(t, letter(t, id, "1"), letter(t, id, "2"))
	d.record(t, letter(t, other, "3"))
	_, err := d.store.ChangeTenant(t.Context(), id, func(c *domain.Tenant) error { return c.Transition(domain.TenantDeleting) })
	require.NoError(t, err)
	require.Len(t, d.record(t, letter(t, id, "too late")), 2)
	require.NoError(t, d.store.ErasePartition(t.Context(), id))
	require.Empty(t, d.record(t, letter(t, id, "later still")))
	require.Empty(t, d.record(t, letter(t, newID(t), "of nobody")))
	require.Len(t, d.record(t, letter(t, other, "4")), 2)
}

func TestOldDeadLettersAreDeleted(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newLane(t)
	all := d.record(t, letter(t, id, "old"), letter(t, id, "new"), letter(t, id, "replayed long ago"), letter(t, id, "old, replayed just now"))
	require.NoError(t, d.store.MarkReplayed(t.Context(), id, []int64{all[2].Seq, all[3].Seq}))
	conn := d.connect(t)
	for _, statement := range []string{
		`UPDATE dead_letters SET created_at = now() - interval '10 days' WHERE id <> $1`,
		`UPDATE dead_letters SET replayed_at = now() - interval '5 days' WHERE id = $1 + 1`,
	} {
		_, err := conn.Exec(t.Context(), statement, all[1].Seq)
		require.NoError(t, err)
	}
	const day = 24 * time.Hour
	for _, step := range []struct {
		replayed, others time.Duration
		limit, deleted   int
	}{{0, 0, 10, 0}, {6 * day, 11 * day, 10, 0}, {4 * day, 9 * day, 1, 1}, {4 * day, 9 * day, 10, 1}, {4 * day, 9 * day, 10, 0}} {
		n, blocked, err := d.store.DeleteOldDeadLetters(t.Context(), step.replayed, step.others, step.limit, nil)
		require.Empty(t, blocked)
		require.NoError(t, err)
		require.Equal(t, step.deleted, n)
	}
	left, _, err := d.store.ListDeadLetters(t.Context(), domain.DeadLetterQuery{TenantID: id, Limit: 10, Replayed: true})
	require.NoError(t, err)
	require.Len(t, left, 2)
	require.Equal(t, "new", string(left[0].Body))
}

// Whoever may publish to a queue may write anything into headers, and none of
// it may keep a letter from being recorded.
func TestDeadLetterWithAnyHeaders(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newLane(t)
	deep := map[string]any{}
	for range 20_000 {
		deep = map[string]any{"x": []any{deep}}
	}
	l := letter(t, id, "x")
	l.MessageID, l.Error, l.Reason = "a\x00b\xff", "c\x00d\xff", "e\x00\xff"
	l.Attempts = math.MaxInt
	l.Headers = map[string]any{
		"nil": nil, "yes": true, "byte": uint8(200), "int": int16(-3), "large": uint64(math.MaxUint64), "float": 1e308, "small": 5e-324,
		"nan": math.NaN(), "infinite": float32(math.Inf(-1)), "text": "ünï", "nul": "a\x00", "invalid": "\xff", "bytes": []byte("plain"),
		"binary": []byte{0, 255}, "time": time.Unix(1<<40, 0), "table": map[string]any{"a": []any{map[string]any{"b\x00": "c"}}},
		"k\xff": 1, "k\uFFFD": 2, "odd": struct{ X string }{"y\x00"}, "error": errors.New("z"),
		"deep": deep, "surrogate": "\xed\xa0\x80", "": "empty name",
	}
	stored := d.record(t, l)
	require.Len(t, stored, 1)
	got := stored[0].Headers
	require.Equal(t, "a\uFFFDb\uFFFD", stored[0].MessageID)
	require.Equal(t, "c\uFFFDd\uFFFD", stored[0].Error)
	require.Equal(t, 1<<30, stored[0].Attempts)
	for name, want := range map[string]any{
		"nil": nil, "yes": true, "byte": json.Number("200"), "large": json.Number("18446744073709551615"),
		"nan": "NaN", "infinite": "-Inf", "text": "ünï", "bytes": "plain",
		"nul": map[string]any{"base64": "YQA="}, "invalid": map[string]any{"base64": "/w=="}, "binary": map[string]any{"base64": "AP8="},
		"table":   map[string]any{"a": []any{map[string]any{"b\uFFFD": "c"}}},
		"k\uFFFD": json.Number("1"), "error": "z", "": "empty name",
	} {
		require.Contains(t, got, name)
		require.Equal(t, want, got[name], name)
	}
	first, err := encodeHeaders(l.Headers)
	require.NoError(t, err)
	for range 20 {
		again, err := encodeHeaders(l.Headers)
		require.NoError(t, err)
		require.Equal(t, string(first), string(again))
	}
}

func TestDeadLettersWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Options{URL: "postgres://127.0.0.1:1/none"})
	require.NoError(t, err)
	defer s.Close()
	require.ErrorIs(t, s.RecordDeadLetters(t.Context(), []domain.DeadLetter{letter(t, newID(t), "x")}), domain.ErrUnavailable)
	_, _, err = s.ListDeadLetters(t.Context(), domain.DeadLetterQuery{TenantID: newID(t), Limit: 1})
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.NoError(t, s.RecordDeadLetters(t.Context(), nil))
}

// The type of a letter is kept, also one that no message can have.
func TestDeadLettersKeepTheirType(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newLane(t)
	types := map[string]string{"": "", "order.created": "order.created", "a b": "a b", "\x00\xff": "\uFFFD\uFFFD"}
	var sent []domain.DeadLetter
	for typ := range types {
		l := letter(t, id, "x")
		l.Type = typ
		sent = append(sent, l)
	}
	for i, got := range d.record(t, sent...) {
		require.Equal(t, types[sent[i].Type], got.Type)
	}
}
