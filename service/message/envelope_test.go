package message_test

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestEnvelopesArePublished(t *testing.T) {
	t.Parallel()
	f := newFixture()
	headers := map[string]string{"a": "1"}
	receipts := f.Publish(t.Context(), f.tenant, []domain.Submission{
		{Payload: []byte(`1`), Type: "order.created", OrderingKey: "k", Headers: headers},
		{Payload: []byte(`2`), Type: "order created", OrderingKey: "\n", Headers: map[string]string{"x-death": ""}, IdempotencyKey: "refused"},
		{Payload: []byte(`3`)},
	})
	require.NoError(t, receipts[0].Err)
	require.Equal(t, []domain.Outgoing{
		{ID: receipts[0].ID, Type: "order.created", OrderingKey: "k", Headers: headers, Body: []byte(`1`)},
		{ID: receipts[2].ID, Body: []byte(`3`)},
	}, f.broker.published)
	require.ErrorIs(t, receipts[1].Err, domain.ErrInvalid)
	e, ok := errors.AsType[*domain.Error](receipts[1].Err)
	require.True(t, ok)
	require.Len(t, e.Fields, 3)
	require.Empty(t, f.keys.claimed)
}

// A key is for a message with all that it carries, in whatever order its
// headers come.
func TestKeysAreForEnvelopesToo(t *testing.T) {
	t.Parallel()
	whole := func() domain.Submission {
		return domain.Submission{Payload: []byte(`{"a":1}`), Type: "t", OrderingKey: "k", Headers: map[string]string{"a": "1", "b": "2"}, IdempotencyKey: "key"}
	}
	for name, change := range map[string]func(s *domain.Submission){
		"another payload":   func(s *domain.Submission) { s.Payload = []byte(`{"a":2}`) },
		"another type":      func(s *domain.Submission) { s.Type = "u" },
		"no type":           func(s *domain.Submission) { s.Type = "" },
		"another key":       func(s *domain.Submission) { s.OrderingKey = "l" },
		"the key as a type": func(s *domain.Submission) { s.Type, s.OrderingKey = "tk", "" },
		"another header":    func(s *domain.Submission) { s.Headers["a"] = "2" },
		"fewer headers":     func(s *domain.Submission) { delete(s.Headers, "b") },
		"other bounds":      func(s *domain.Submission) { s.Headers = map[string]string{"a": "1b2"} },
		"nothing":           func(s *domain.Submission) { s.Type, s.OrderingKey, s.Headers = "", "", nil },
	} {
		f := newFixture()
		first := f.Publish(t.Context(), f.tenant, []domain.Submission{whole()})[0]
		require.NoError(t, first.Err)
		for range 20 { // a map has no order
			spaced := whole()
			spaced.Payload = []byte(` { "a" : 1 } `)
			require.Equal(t, domain.Receipt{ID: first.ID, Replayed: true}, f.Publish(t.Context(), f.tenant, []domain.Submission{spaced})[0], name)
		}
		other := whole()
		change(&other)
		for _, batch := range [][]domain.Submission{{other}, {whole(), other}} {
			receipts := f.Publish(t.Context(), f.tenant, batch)
			require.Equal(t, "idempotency_key_reused", domain.CodeOf(receipts[len(receipts)-1].Err), name)
		}
		require.Len(t, f.broker.published, 1, name)
	}
}

// A key that an earlier version has claimed, for the payload alone, goes on to
// hold for the same message, and for no other.
func TestKeysOfEarlierVersions(t *testing.T) {
	t.Parallel()
	f := newFixture()
	id := uuid.New()
	name := f.tenant.ID.String() + "key"
	f.keys.claimed[name] = domain.IdempotencyClaim{Scope: f.tenant.ID, Key: "key", Hash: sha256.Sum256([]byte(`{"a":1}`)), ID: id}
	f.keys.confirmed[name] = true
	same := domain.Submission{Payload: []byte(`{"a": 1}`), Headers: map[string]string{}, IdempotencyKey: "key"}
	require.Equal(t, domain.Receipt{ID: id, Replayed: true}, f.Publish(t.Context(), f.tenant, []domain.Submission{same})[0])
	same.Type = "t"
	require.Equal(t, "idempotency_key_reused", domain.CodeOf(f.Publish(t.Context(), f.tenant, []domain.Submission{same})[0].Err))
}

// What a message carries counts towards the rate.
func TestPaceCountsEnvelopes(t *testing.T) {
	t.Parallel()
	f := pacedAt(8) // two at once
	heavy := domain.Submission{Payload: []byte(`1`), Headers: map[string]string{}}
	for i := range domain.MaxHeaders {
		heavy.Headers[string(rune('a'+i))] = strings.Repeat("v", 1000)
	}
	require.NoError(t, f.Publish(t.Context(), f.tenant, []domain.Submission{heavy})[0].Err)
	require.Equal(t, "rate_exceeded", domain.CodeOf(f.Publish(t.Context(), f.tenant, []domain.Submission{{Payload: []byte(`1`)}, {Payload: []byte(`1`)}})[0].Err),
		"five units are paid back in half a second at the earliest")
}
