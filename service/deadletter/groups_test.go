package deadletter

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestGroups(t *testing.T) {
	t.Parallel()
	w, tenant := newWorld(), active()
	s := w.service()
	none, err := s.Groups(t.Context(), domain.DeadLetterQuery{TenantID: tenant.ID})
	require.NoError(t, err)
	require.Equal(t, domain.DeadLetterGroups{Groups: []domain.DeadLetterGroup{}}, none)

	one, two := uuid.New(), uuid.New()
	w.dieAt(tenant.ID, one, 30)
	w.dieAt(tenant.ID, two, 10)
	w.die(tenant.ID, 20)
	w.die(uuid.New(), 5)
	begun := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	letters := w.letters[tenant.ID]
	for i := range letters {
		l := &letters[i]
		l.CreatedAt = begun.Add(time.Duration(i) * time.Minute)
		if l.Error = fmt.Sprintf("not JSON at byte %d", i); l.EndpointID != uuid.Nil {
			l.Error = fmt.Sprintf("status %d", 500+i%3)
		} else {
			l.Reason = domain.ReasonInvalidPayload
		}
	}
	groups, err := s.Groups(t.Context(), domain.DeadLetterQuery{TenantID: tenant.ID})
	require.NoError(t, err)
	at := func(i int) time.Time { return begun.Add(time.Duration(i) * time.Minute) }
	want := []domain.DeadLetterGroup{
		{Reason: domain.ReasonInvalidPayload, Error: "not JSON at byte <number>", Count: 20, First: at(40), Last: at(59), Example: 60},
		{Reason: domain.ReasonDeliveryFailed, EndpointID: one, Error: "status 502", Count: 10, First: at(2), Last: at(29), Example: 30},
		{Reason: domain.ReasonDeliveryFailed, EndpointID: one, Error: "status 501", Count: 10, First: at(1), Last: at(28), Example: 29},
		{Reason: domain.ReasonDeliveryFailed, EndpointID: one, Error: "status 500", Count: 10, First: at(0), Last: at(27), Example: 28},
		{Reason: domain.ReasonDeliveryFailed, EndpointID: two, Error: "status 500", Count: 4, First: at(30), Last: at(39), Example: 40},
		{Reason: domain.ReasonDeliveryFailed, EndpointID: two, Error: "status 502", Count: 3, First: at(32), Last: at(38), Example: 39},
		{Reason: domain.ReasonDeliveryFailed, EndpointID: two, Error: "status 501", Count: 3, First: at(31), Last: at(37), Example: 38},
	}
	require.Equal(t, domain.DeadLetterGroups{Groups: want, Counted: 60}, groups)

	w.read = func(context.Context) error { return away() }
	_, err = s.Groups(t.Context(), domain.DeadLetterQuery{TenantID: tenant.ID})
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

// Neither many letters nor many errors make the answer large, or take long: what was
// not looked at is said.
func TestGroupsAreBounded(t *testing.T) {
	t.Parallel()
	w, tenant := newWorld(), active()
	w.die(tenant.ID, domain.MaxGroupedDeadLetters+1)
	letters := w.letters[tenant.ID]
	for i := range letters {
		if letters[i].Error = "common"; i%10 == 0 {
			letters[i].Error = fmt.Sprintf("word%c%c%c%c", 'a'+i/10%26, 'a'+i/260%26, 'a'+i/6760%26, 'a'+i/175760%26)
		}
	}
	s := w.service()
	groups, err := s.Groups(t.Context(), domain.DeadLetterQuery{TenantID: tenant.ID})
	require.NoError(t, err)
	require.True(t, groups.Truncated)
	require.Equal(t, domain.MaxGroupedDeadLetters, groups.Counted)
	require.Len(t, groups.Groups, domain.MaxDeadLetterGroups)
	require.Equal(t, 90_000, groups.Groups[0].Count)
	sum := groups.Others
	for _, g := range groups.Groups {
		sum += g.Count
	}
	require.Equal(t, groups.Counted, sum)

	w.letters[tenant.ID] = letters[1:]
	groups, err = s.Groups(t.Context(), domain.DeadLetterQuery{TenantID: tenant.ID})
	require.NoError(t, err)
	require.False(t, groups.Truncated)
	require.Equal(t, domain.MaxGroupedDeadLetters, groups.Counted)

	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		w.read = func(ctx context.Context) error {
			select {
			case <-time.After(700 * time.Millisecond):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		groups, err := s.Groups(t.Context(), domain.DeadLetterQuery{TenantID: tenant.ID})
		require.NoError(t, err)
		require.Equal(t, groupTimeout, time.Since(begun))
		require.True(t, groups.Truncated)
		require.Equal(t, 4*failuresAtATime, groups.Counted)
	})
}

// Failures come newest first, page by page, and all of a group's when its error is
// asked for.
func TestFailures(t *testing.T) {
	t.Parallel()
	w, tenant := newWorld(), active()
	w.die(tenant.ID, 12_000)
	letters := w.letters[tenant.ID]
	for i := range letters {
		if letters[i].Error = fmt.Sprintf("not JSON at byte %d", i); i%1000 == 0 {
			letters[i].Error = fmt.Sprintf("status %d", 500+i%2000/1000)
		}
	}
	s := w.service()
	follow := func(shape string, limit int) (seqs []int64) {
		for q := (domain.DeadLetterQuery{TenantID: tenant.ID, Limit: limit, After: 7}); ; {
			page, err := s.Failures(t.Context(), q, shape)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page.Failures), limit)
			for _, f := range page.Failures {
				seqs = append(seqs, f.Seq)
			}
			if page.Next == 0 {
				return seqs
			}
			q.UpTo = page.Next - 1
		}
	}
	all := follow("", 999)
	require.Len(t, all, 12_000)
	require.EqualValues(t, 12_000, all[0])
	require.EqualValues(t, 1, all[11_999])
	for _, limit := range []int{1, 2, 5, 6, 1000} {
		require.Equal(t, []int64{11_001, 9001, 7001, 5001, 3001, 1001}, follow("status 501", limit), limit)
	}
	require.Len(t, follow("not JSON at byte <number>", 1000), 12_000-12)
	require.Empty(t, follow("no such error", 10))

	_, err := s.Failures(t.Context(), domain.DeadLetterQuery{TenantID: tenant.ID, Limit: 1001}, "")
	require.ErrorIs(t, err, domain.ErrInvalid)
	w.read = func(context.Context) error { return away() }
	_, err = s.Failures(t.Context(), domain.DeadLetterQuery{TenantID: tenant.ID, Limit: 1}, "")
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

// Letters that are hard to find do not keep a caller waiting: the next page goes on.
func TestFailuresThatAreHardToFind(t *testing.T) {
	t.Parallel()
	w, tenant := newWorld(), active()
	w.die(tenant.ID, domain.MaxGroupedDeadLetters+10_000)
	w.letters[tenant.ID][3].Error = "rare"
	s := w.service()
	page, err := s.Failures(t.Context(), domain.DeadLetterQuery{TenantID: tenant.ID, Limit: 5}, "rare")
	require.NoError(t, err)
	require.Empty(t, page.Failures)
	require.EqualValues(t, 10_001, page.Next)
	reads := 0
	w.read = func(context.Context) error {
		if reads++; reads > 1 {
			return away()
		}
		return nil
	}
	page, err = s.Failures(t.Context(), domain.DeadLetterQuery{TenantID: tenant.ID, Limit: 5, UpTo: 10_000}, "rare")
	require.NoError(t, err)
	require.EqualValues(t, 5001, page.Next)
	w.read = func(context.Context) error { return nil }
	page, err = s.Failures(t.Context(), domain.DeadLetterQuery{TenantID: tenant.ID, Limit: 5, UpTo: 5000}, "rare")
	require.NoError(t, err)
	require.Len(t, page.Failures, 1)
	require.EqualValues(t, 4, page.Failures[0].Seq)
	require.Zero(t, page.Next)
}
