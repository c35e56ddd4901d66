package controller

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/model"
)

func TestStream(t *testing.T) {
	t.Parallel()
	s := newStreamAPI(t)
	c := s.follow("/api/messages/stream")
	require.Equal(t, "text/event-stream", c.response.Header.Get("Content-Type"))
	require.Equal(t, "no-store", c.response.Header.Get("Cache-Control"))
	require.Equal(t, "no", c.response.Header.Get("X-Accel-Buffering"))
	require.Equal(t, helloHere, c.block(), "comes before any event")
	require.Equal(t, "GET /messages/stream OK", <-s.seen, "and is observed")
	for _, event := range []string{"id: 1\nevent: message\ndata: {}\n", "id: 2\nevent: message\ndata: {}\n"} {
		s.stream.frames <- []byte(event + "\n")
		require.Equal(t, event, c.block(), "at once")
	}
	require.NotContains(t, s.logs.String(), "/messages/stream")
	s.stream.fail(domain.New(domain.ErrUnavailable, "shutting_down", "The service is shutting down."))
	require.Equal(t, ": shutting_down\n\n", c.rest())
	s.awaitClosed()
	line := s.logged("shutting_down")
	require.Contains(t, line, `"status":200`)
	require.Contains(t, line, `"duration_ms":`)
	require.Empty(t, s.seen, "its life is not observed")
	require.Equal(t, []bool{true}, s.streams.limits, "the opening has its time")
	require.Empty(t, s.drops)
}

// What a stream has of a message is, byte for byte, what the history has.
func TestEventsAreTheHistory(t *testing.T) {
	t.Parallel()
	s := newStreamAPI(t)
	c := s.follow("/api/messages/stream")
	c.block()
	for i, payload := range []string{
		`{"a": "line\nline\r\n\u2028"}`, "{\r\n\"a\" : [1,\t2]}", "\"\u2028\u2029<&>\"", `null`, `1.50`, `"\\\" "`,
	} {
		m := domain.Message{ID: messageID, TenantID: tenantID, Seq: int64(i + 1), Payload: []byte(payload), CreatedAt: someTime.Add(123456 * time.Microsecond)}
		s.fakes.page = domain.HistoryPage{Messages: []domain.Message{m}}
		got := s.do("GET", "/api/messages", "")
		page := decodeReply[struct {
			Data []json.RawMessage `json:"data"`
		}](t, got)
		s.stream.frames <- model.EncodeEvent(&m)
		require.Equal(t, fmt.Sprintf("id: %d\nevent: message\ndata: %s\n", i+1, page.Data[0]), c.block())
	}
	s.stream.fail(domain.CursorExpired())
	require.Equal(t, ": cursor_expired\n\n", c.rest())
}

func TestStreamBegins(t *testing.T) {
	t.Parallel()
	const path = "/api/messages/stream"
	for _, tc := range []struct {
		path, header string
		from         *int64
	}{
		{path, "", nil},
		{path + "?cursor=0", "", new(int64(0))},
		{path + "?cursor=17", "", new(int64(17))},
		{path, "17", new(int64(17))},
		{path, "0", new(int64(0))},
		{path + "?cursor=3", "17", new(int64(17))},
		{path + "?cursor=nonsense", "17", new(int64(17))}, // the URL is the same for ever
		{path, "9223372036854775807", new(int64(9223372036854775807))},
	} {
		var headers []string
		if tc.header != "" {
			headers = append(headers, "Last-Event-ID: "+tc.header)
		}
		streams := newFakeStreams()
		a := newAPI(t, func(o *Options) { o.Streams = streams })
		require.Equal(t, http.StatusOK, a.do("GET", tc.path, "", headers...).status)
		require.Equal(t, []*int64{tc.from}, streams.froms(), "%s %s", tc.path, tc.header)
	}

	streams := newFakeStreams()
	a := newAPI(t, func(o *Options) { o.Streams = streams })
	for _, bad := range []string{"abc", "-1", "+1", "1.5", "1e3", "0x1", "1_0", " ", "9223372036854775808", strings.Repeat("9", 5000), "1%002", "%C2%B2"} {
		p := a.problem(a.do("GET", path+"?cursor="+strings.ReplaceAll(bad, " ", "%20"), ""), http.StatusBadRequest, "invalid_cursor")
		require.Equal(t, "cursor", p.Errors[0].Pointer)
		if bad != " " { // which is cut off from headers
			p = a.problem(a.do("GET", path+"?cursor=1", "", "Last-Event-ID: "+bad), http.StatusBadRequest, "invalid_cursor")
			require.Equal(t, "Last-Event-ID", p.Errors[0].Pointer)
		}
	}
	a.problem(a.do("GET", path+"?cursor=", ""), http.StatusBadRequest, "invalid_cursor")
	a.problem(a.do("GET", path+"?cursor=1&cursor=2", ""), http.StatusBadRequest, "invalid_query")
	a.problem(a.do("GET", path, "", "Last-Event-ID: 1", "Last-Event-ID: 1"), http.StatusBadRequest, "repeated_header")
	a.problem(a.do("GET", path, "", "X-Tenant-ID:"), http.StatusBadRequest, "tenant_required")
	a.problem(a.do("GET", path, "", "X-Tenant-ID: "+otherID.String()), http.StatusNotFound, "tenant_not_found")
	a.problem(a.do("GET", path, "", "Authorization: stranger"), http.StatusNotFound, "tenant_not_found")
	require.Empty(t, streams.froms())
}

func TestStreamIsRefused(t *testing.T) {
	t.Parallel()
	for code, tc := range map[string]struct {
		err    error
		status int
	}{
		"cursor_ahead":     {domain.CursorAhead(), http.StatusConflict},
		"cursor_expired":   {domain.CursorExpired(), http.StatusGone},
		"tenant_not_found": {domain.TenantNotFound(), http.StatusNotFound},
		"streams_full":     {domain.New(domain.ErrUnavailable, "streams_full", "Full.").After(5 * time.Second), http.StatusServiceUnavailable},
		"internal_error":   {fmt.Errorf("internals"), http.StatusInternalServerError},
	} {
		s := newStreamAPI(t)
		s.streams.err = tc.err
		got := s.do("GET", "/api/messages/stream?cursor=1", "")
		s.problem(got, tc.status, code)
		require.NotContains(t, got.header.Get("Content-Type"), "event-stream")
		require.Equal(t, "GET /messages/stream "+http.StatusText(tc.status), <-s.seen)
		require.Empty(t, s.seen)
	}

	// A token that has just expired is let in by the leeway everywhere else,
	// and a stream would end at once.
	s := newStreamAPI(t)
	s.guard.expires = time.Now()
	s.problem(s.do("GET", "/api/messages/stream", ""), http.StatusUnauthorized, "token_expired")
	require.Empty(t, s.streams.froms())
}

// An EventSource that loses its stream before the first event must know where
// it was, or it would miss what is stored meanwhile.
func TestStreamTellsWhereItIs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		path, header, hello string
	}{
		{"/api/messages/stream", "", "retry: 3000\nid: 41\n: open\n"},
		{"/api/messages/stream", "Last-Event-ID: 41", hello},
		{"/api/messages/stream?cursor=41", "", hello},
		{"/api/messages/stream?ticket=" + goodTicket, "", "retry: 3000\nid: 41\n: open\n"},
		{"/api/messages/stream?cursor=41&ticket=" + goodTicket, "", "retry: 3000\nid: 41\n: open\n"},
		{"/api/messages/stream?ticket=" + goodTicket, "Last-Event-ID: 41", hello},
	} {
		s := newStreamAPI(t)
		s.stream.at = 41
		var headers []string
		if tc.header != "" {
			headers = append(headers, tc.header)
		}
		require.Equal(t, tc.hello, s.follow(tc.path, headers...).block(), tc)
	}
}

func TestHeadOpensNoStream(t *testing.T) {
	t.Parallel()
	s := newStreamAPI(t)
	head := func(query string, headers ...string) reply {
		return s.do("HEAD", "/api/messages/stream"+query, "", headers...)
	}
	got := head("")
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "text/event-stream", got.header.Get("Content-Type"))
	require.Empty(t, got.body)
	require.Equal(t, http.StatusBadRequest, head("?cursor=x").status)
	require.Equal(t, http.StatusUnauthorized, head("", "Authorization:").status)
	require.Equal(t, http.StatusUnauthorized, head("?ticket="+goodTicket, "Authorization:").status)
	require.Equal(t, http.StatusOK, head("?ticket="+goodTicket).status)
	require.Empty(t, s.streams.froms())
	redeemed, _ := s.tickets.counts()
	require.Zero(t, redeemed)
}

func TestIssueTicket(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.do("POST", "/api/messages/stream/tickets", "", "Authorization: lodger", "X-Tenant-ID:")
	require.Equal(t, http.StatusCreated, got.status, got.body)
	require.JSONEq(t, `{"ticket":"`+goodTicket+`","expires_at":"2026-11-21T10:00:00Z"}`, got.body)
	require.Equal(t, "no-store", got.header.Get("Cache-Control"))
	require.NotContains(t, a.logs.String(), goodTicket)

	s := newStreamAPI(t)
	s.tickets.err = domain.New(domain.ErrUnauthenticated, "token_expired", "The token has expired.")
	s.problem(s.do("POST", "/api/messages/stream/tickets", ""), http.StatusUnauthorized, "token_expired")
	s.problem(s.do("POST", "/api/messages/stream/tickets", "", "X-Tenant-ID: "+otherID.String()), http.StatusNotFound, "tenant_not_found")
}

// A ticket is all that a stream needs, and lets no caller in who could not come
// with a token.
func TestStreamByTicket(t *testing.T) {
	t.Parallel()
	const path = "/api/messages/stream?ticket=" + goodTicket
	s := newStreamAPI(t)
	c := s.follow(path+"&tenant_id="+tenantID.String(), "Last-Event-ID: 5")
	require.Equal(t, hello, c.block())
	require.Equal(t, int64(5), *s.streams.froms()[0])
	redeemed, released := s.tickets.counts()
	require.Equal(t, 1, redeemed)
	require.Equal(t, []bool{true}, s.tickets.redeemed)
	require.Zero(t, released, "as long as it is open")
	s.stream.fail(domain.CursorExpired())
	require.Equal(t, ": cursor_expired\n\n", c.rest())
	_, released = s.tickets.counts()
	require.Equal(t, 1, released, "before the client knows that it ended")
	require.Zero(t, s.tickets.unused())
	require.Contains(t, s.logged("cursor_expired"), userID.String())

	for name, tc := range map[string]struct {
		prepare func(s *streamAPI)
		query   string
		headers []string
		status  int
		code    string
	}{
		"unknown":                      {query: "x", status: 401, code: "ticket_invalid"},
		"in use":                       {prepare: func(s *streamAPI) { s.tickets.err = domain.New(domain.ErrConflict, "ticket_in_use", "In use.") }, status: 409, code: "ticket_in_use"},
		"database away":                {prepare: func(s *streamAPI) { s.tickets.err = unavailable("database_unavailable") }, status: 503, code: "database_unavailable"},
		"another tenant":               {query: "&tenant_id=" + otherID.String(), status: 404, code: "tenant_not_found"},
		"another tenant in the header": {headers: []string{"X-Tenant-ID: " + otherID.String()}, status: 404, code: "tenant_not_found"},
		"tenants differ":               {query: "&tenant_id=" + otherID.String(), headers: []string{"X-Tenant-ID: " + tenantID.String()}, status: 400, code: "tenant_mismatch"},
		"no tenant id":                 {query: "&tenant_id=x", status: 400, code: "invalid_id"},
		"twice":                        {query: "&ticket=" + goodTicket, status: 400, code: "invalid_query"},
		"no number":                    {headers: []string{"Last-Event-ID: abc"}, status: 400, code: "invalid_cursor"},
		"negative":                     {query: "&cursor=-1", status: 400, code: "invalid_cursor"},
		"holder is gone":               {prepare: func(s *streamAPI) { s.guard.recheck = revoked }, status: 401, code: "token_revoked"},
		"tenant is gone":               {prepare: func(s *streamAPI) { s.tickets.ticket.TenantID = otherID }, status: 404, code: "tenant_not_found"},
		"token expired":                {prepare: func(s *streamAPI) { s.tickets.ticket.Holder.ExpiresAt = time.Now() }, status: 401, code: "token_expired"},
		"ticket expired":               {prepare: func(s *streamAPI) { s.tickets.ticket.ExpiresAt = time.Now() }, status: 401, code: "token_expired"},
		"full":                         {prepare: func(s *streamAPI) { s.streams.err = unavailable("streams_full") }, status: 503, code: "streams_full"},
		"ahead":                        {prepare: func(s *streamAPI) { s.streams.err = domain.CursorAhead() }, status: 409, code: "cursor_ahead"},
		"not a role": {prepare: func(s *streamAPI) {
			s.guard.recheck = func(p domain.Principal) (domain.Principal, error) { p.Role = "boss"; return p, nil }
		}, status: 403, code: "role_insufficient"},
		"holder moved away": {prepare: func(s *streamAPI) {
			s.guard.recheck = func(p domain.Principal) (domain.Principal, error) {
				p.UserID, p.TenantID, p.Role = otherID, otherID, domain.RoleMember
				return p, nil
			}
		}, status: 404, code: "tenant_not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStreamAPI(t)
			if tc.prepare != nil {
				tc.prepare(s)
			}
			headers := append([]string{"Authorization:", "X-Tenant-ID:"}, tc.headers...)
			got := s.do("GET", path+tc.query, "", headers...)
			s.problem(got, tc.status, tc.code)
			redeemed, released := s.tickets.counts()
			require.Equal(t, redeemed, s.tickets.unused(), "nobody holds it, and it is as it was")
			require.Zero(t, released)
			if tc.status == http.StatusBadRequest {
				require.Zero(t, redeemed, "a mistake does not use it up")
			}
			require.NotContains(t, s.logs.String(), goodTicket)
			require.NotContains(t, got.body, goodTicket)
		})
	}

	// Only this route takes tickets.
	a := newAPI(t)
	for _, other := range []string{"GET /api/messages", "POST /api/messages/stream/tickets", "GET /api/messages/" + messageID.String()} {
		method, path, _ := strings.Cut(other, " ")
		a.problem(a.do(method, path+"?ticket="+goodTicket, "", "Authorization:"), http.StatusUnauthorized, "token_invalid")
	}
	// The ticket counts, not the header that came with it.
	s = newStreamAPI(t)
	s.stream.fail(domain.CursorExpired())
	require.Equal(t, http.StatusOK, s.do("GET", path, "", "Authorization: nonsense", "X-Tenant-ID:").status)
}

func revoked(domain.Principal) (domain.Principal, error) {
	return domain.Principal{}, domain.New(domain.ErrUnauthenticated, "token_revoked", "The token is not valid any more.")
}
