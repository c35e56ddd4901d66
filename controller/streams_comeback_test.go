package controller

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// An EventSource never comes back after a status other than 200. What passes by
// itself must not be answered by one; what does not must.
func TestEventSourceIsToldToComeBack(t *testing.T) {
	t.Parallel()
	const byTicket = "/api/messages/stream?ticket=" + goodTicket
	full := domain.New(domain.ErrUnavailable, "streams_full", "Full.").After(5 * time.Second)
	for name, tc := range map[string]struct {
		prepare func(s *streamAPI)
		path    string
		headers []string
		status  int
		code    string
		least   int // what retry says at least
	}{
		"database away":         {func(s *streamAPI) { s.tickets.err = unavailable("database_unavailable") }, byTicket, []string{"Last-Event-ID: 3"}, 200, "database_unavailable", 2000},
		"first time":            {func(s *streamAPI) { s.tickets.err = unavailable("database_unavailable") }, byTicket, []string{"Accept: text/event-stream"}, 200, "database_unavailable", 2000},
		"full":                  {func(s *streamAPI) { s.streams.err = full }, byTicket, []string{"Last-Event-ID: 3", "Accept: text/event-stream"}, 200, "streams_full", 5000},
		"in time for nothing":   {func(s *streamAPI) { s.streams.err = fmt.Errorf("open: %w", context.DeadlineExceeded) }, byTicket, []string{"Last-Event-ID: 3"}, 200, "timeout", 2000},
		"callers not known":     {func(s *streamAPI) { s.guard.recheck = unknown }, byTicket, []string{"Last-Event-ID: 3"}, 200, "database_unavailable", 2000},
		"tenants not known":     {func(s *streamAPI) { s.guard.lookup = unknownTenant }, byTicket, []string{"Last-Event-ID: 3"}, 200, "database_unavailable", 2000},
		"not an EventSource":    {func(s *streamAPI) { s.streams.err = full }, byTicket, nil, 503, "streams_full", 0},
		"by token":              {func(s *streamAPI) { s.streams.err = full }, "/api/messages/stream", []string{"Authorization: Bearer admin", "X-Tenant-ID: " + tenantID.String(), "Last-Event-ID: 3"}, 503, "streams_full", 0},
		"revoked":               {func(s *streamAPI) { s.guard.recheck = revoked }, byTicket, []string{"Last-Event-ID: 3"}, 401, "token_revoked", 0},
		"behind retention":      {func(s *streamAPI) { s.streams.err = domain.CursorExpired() }, byTicket, []string{"Last-Event-ID: 3"}, 410, "cursor_expired", 0},
		"ahead of the history":  {func(s *streamAPI) { s.streams.err = domain.CursorAhead() }, byTicket, []string{"Last-Event-ID: 3"}, 409, "cursor_ahead", 0},
		"tenant gone":           {func(s *streamAPI) { s.streams.err = domain.TenantNotFound() }, byTicket, []string{"Last-Event-ID: 3"}, 404, "tenant_not_found", 0},
		"unknown ticket":        {func(*streamAPI) {}, "/api/messages/stream?ticket=x", []string{"Last-Event-ID: 3"}, 401, "ticket_invalid", 0},
		"a mistake of our side": {func(s *streamAPI) { s.streams.err = fmt.Errorf("mistake") }, byTicket, []string{"Last-Event-ID: 3"}, 500, "internal_error", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStreamAPI(t)
			tc.prepare(s)
			got := s.do("GET", tc.path, "", append([]string{"Authorization:", "X-Tenant-ID:"}, tc.headers...)...)
			if tc.status != http.StatusOK {
				s.problem(got, tc.status, tc.code)
				return
			}
			require.Equal(t, http.StatusOK, got.status)
			require.Equal(t, "text/event-stream", got.header.Get("Content-Type"))
			require.Equal(t, "no-store", got.header.Get("Cache-Control"))
			found := regexp.MustCompile(`^retry: (\d+)\n: ` + tc.code + `\n\n$`).FindStringSubmatch(got.body)
			require.NotNil(t, found, got.body)
			retry, err := strconv.Atoi(found[1])
			require.NoError(t, err)
			require.GreaterOrEqual(t, retry, tc.least)
			require.LessOrEqual(t, retry, 2*tc.least)
			require.Equal(t, "GET /messages/stream Service Unavailable", <-s.seen, "metrics are told what it was")
			require.Empty(t, s.seen)
			s.logged(tc.code)
			redeemed, released := s.tickets.counts()
			require.Equal(t, redeemed, s.tickets.unused(), "the ticket is as it was")
			require.Zero(t, released)
		})
	}
}

func unknown(domain.Principal) (domain.Principal, error) {
	return domain.Principal{}, unavailable("database_unavailable")
}

func unknownTenant() (domain.Tenant, error) {
	return domain.Tenant{}, unavailable("database_unavailable")
}

// A ticket whose client had gone before it could learn where its stream is has
// not been used: it will come back without a place.
func TestTicketOfStreamThatNeverArrived(t *testing.T) {
	t.Parallel()
	s := newStreamAPI(t)
	gone := make(chan struct{})
	s.streams.opening = func(ctx context.Context) { close(gone); <-ctx.Done() }
	c := s.dial("/api/messages/stream?ticket=" + goodTicket)
	<-gone
	require.NoError(t, c.Close())
	s.awaitClosed()
	require.Eventually(t, func() bool { return s.tickets.unused() == 1 }, patience, time.Millisecond)
	_, released := s.tickets.counts()
	require.Zero(t, released)
}
