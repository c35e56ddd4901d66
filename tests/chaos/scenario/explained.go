package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/wait"
)

// explainLimit is how long after a condition began it may take to be named.
const explainLimit = 3 * time.Second

// explanation is what the service says of a tenant or a message.
type explanation struct {
	Flows    bool
	Sentence string
	Causes   []struct {
		Kind, Sentence string
		Data           struct {
			ExpectedSeconds float64 `json:"expected_seconds"`
		}
	}
	ExpectedSeconds float64 `json:"expected_seconds"`
}

// kind is that of the first cause.
func (e *explanation) kind() string {
	if len(e.Causes) == 0 {
		return "nothing"
	}
	return e.Causes[0].Kind
}

// explain asks a client for the explanation at a path of a tenant.
func explain(ctx context.Context, c *load.Client, path, tenant string) (*explanation, error) {
	r := c.Call(ctx, http.MethodGet, path, tenant, "", nil)
	if r.Err != nil || r.Status != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%w: explain: %s", load.ErrUnexpected, r.Text()), r.Err)
	}
	var e explanation
	if err := json.Unmarshal(r.Body, &e); err != nil {
		return nil, fmt.Errorf("read an explanation: %w", err)
	}
	return &e, nil
}

// explains holds the service to naming the cause for which a tenant stands.
func explains(ctx context.Context, t *trial, condition, tenant, kind string) {
	explainsAt(ctx, t, t.client, condition, "/api/tenants/"+tenant+"/explain", tenant, kind)
}

// explainsMessage holds it to naming what became of a message.
func explainsMessage(ctx context.Context, t *trial, condition, tenant, id, kind string) {
	explainsAt(ctx, t, t.client, condition, "/api/messages/"+id+"/explain", tenant, kind)
}

func explainsAt(ctx context.Context, t *trial, c *load.Client, condition, path, tenant, kind string) {
	var last *explanation
	err := wait.Until(ctx, explainLimit, "the cause is named", func() (err error) {
		if last, err = explain(ctx, c, path, tenant); err == nil && last.kind() != kind {
			err = fmt.Errorf("%w: %s", wait.ErrNotReady, last.Sentence)
		}
		return err
	})
	switch {
	case ctx.Err() != nil:
	case last == nil:
		t.Explained(condition, kind, "no answer", err.Error())
	default:
		t.Explained(condition, kind, last.kind(), last.Sentence)
	}
}

// prediction is when something will be through, as the service says, and when it said so.
type prediction struct {
	at       time.Time
	expected time.Duration
}

// predict asks until the service says when all that waits for a cause of this kind will be
// through. It gives up when that is over, or takes too long.
func predict(ctx context.Context, t *trial, tenant, kind string) (p prediction, ok bool) {
	const limit, pause, least = 20 * time.Second, 250 * time.Millisecond, time.Second
	for begun := time.Now(); time.Since(begun) < limit && wait.For(ctx, pause); {
		e, err := explain(ctx, t.client, "/api/tenants/"+tenant+"/explain", tenant)
		if err != nil {
			continue
		}
		there := false
		for i := range e.Causes {
			expected := time.Duration(e.Causes[i].Data.ExpectedSeconds * float64(time.Second))
			if there = there || e.Causes[i].Kind == kind; e.Causes[i].Kind == kind && expected >= least && time.Since(begun) > 2*least {
				return prediction{time.Now(), expected}, true
			}
		}
		if !there && time.Since(begun) > 2*least {
			break
		}
	}
	return p, false
}
