package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"lanekeeper/tests/chaos/load"
)

// lastCursors returns where the history of each tenant ends now.
func lastCursors(ctx context.Context, t *trial) (map[string]int64, error) {
	last := make(map[string]int64)
	for _, tenant := range t.tenants {
		_, cursor, err := historyPage(ctx, t, tenant, "order=desc&limit=1")
		if err != nil {
			return nil, err
		}
		last[tenant] = cursor
	}
	return last, nil
}

// historyPage returns how many messages a page has, and its last_cursor.
func historyPage(ctx context.Context, t *trial, tenant, query string) (n int, cursor int64, err error) {
	r := t.client.Call(ctx, http.MethodGet, "/api/messages?"+query, tenant, "", nil)
	if r.Err != nil || r.Status != http.StatusOK {
		return 0, 0, errors.Join(fmt.Errorf("%w: read a page: %s", load.ErrUnexpected, r.Text()), r.Err)
	}
	var answer struct {
		Data []struct{ Seq int64 }
		Last string `json:"last_cursor"`
	}
	if err := json.Unmarshal(r.Body, &answer); err != nil {
		return 0, 0, fmt.Errorf("read a page: %w", err)
	}
	if len(answer.Data) > 0 {
		return len(answer.Data), answer.Data[0].Seq, nil
	}
	if cursor, err = strconv.ParseInt(answer.Last, 10, 64); err != nil {
		return 0, 0, fmt.Errorf("read a cursor: %w", err)
	}
	return 0, cursor, nil
}

// checkCursors makes sure that a cursor from before, as far ahead as it may be
// after messages were lost, is answered with where the history really ends, and
// that a stream from there is refused.
func checkCursors(ctx context.Context, t *trial, last map[string]int64) error {
	for tenant, before := range last {
		ahead := before + 1_000_000
		n, cursor, err := historyPage(ctx, t, tenant, "cursor="+strconv.FormatInt(ahead, 10))
		if err != nil {
			return err
		}
		if n > 0 || cursor >= ahead {
			t.Fail("tenant %s: a cursor ahead of the history got %d messages and last_cursor %d", tenant, n, cursor)
		}
		r := t.client.Call(ctx, http.MethodGet, "/api/messages/stream?cursor="+strconv.FormatInt(ahead, 10), tenant, "", nil)
		if r.Status != http.StatusConflict || r.Problem().Code != "cursor_ahead" {
			t.Fail("tenant %s: a stream from a cursor ahead of the history was answered %s", tenant, r.Text())
		}
		break // one is like the other
	}
	return nil
}
