package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

// explainLimit is how long after a condition began it may take to be named.
const explainLimit = 3 * time.Second

// explanation is what the service says of a tenant or a message.
type explanation struct {
	Flows           bool
	Sentence        string
	Causes          []cause
	ExpectedSeconds float64 `json:"expected_seconds"`
}

// cause is one that it names.
type cause struct {
	Kind, Sentence string
	Data           struct {
		EndpointID      string  `json:"endpoint_id"`
		ExpectedSeconds float64 `json:"expected_seconds"`
	}
}

// first returns the first cause, of an endpoint if that is not empty.
func (e *explanation) first(endpoint string) cause {
	for _, c := range e.Causes {
		if endpoint == "" || c.Data.EndpointID == endpoint {
			return c
		}
	}
	return cause{Kind: "nothing", Sentence: e.Sentence}
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
	explainsBy(ctx, t, t.client, condition, tenant, kind)
}

// explainsBy holds one replica to that.
func explainsBy(ctx context.Context, t *trial, c *load.Client, condition, tenant, kind string) {
	question{path: "/api/tenants/" + tenant + "/explain", tenant: tenant}.hold(ctx, t, c, condition, kind)
}

// explainsEndpoint holds a replica to naming why deliveries to an endpoint stand.
func explainsEndpoint(ctx context.Context, t *trial, c *load.Client, condition string, s *verify.Subscription, kind string) {
	question{path: "/api/tenants/" + s.Tenant + "/explain", tenant: s.Tenant, endpoint: s.ID}.hold(ctx, t, c, condition, kind)
}

// explainsMessage holds it to naming what became of a message.
func explainsMessage(ctx context.Context, t *trial, condition, tenant, id, kind string) {
	question{path: "/api/messages/" + id + "/explain", tenant: tenant}.hold(ctx, t, t.client, condition, kind)
}

// question is what is asked about a tenant, a message, or an endpoint.
type question struct{ path, tenant, endpoint string }

// hold asks a client until the cause is named, or it has taken too long.
func (q question) hold(ctx context.Context, t *trial, c *load.Client, condition, kind string) {
	var last *explanation
	err := wait.Until(ctx, explainLimit, "the cause is named", func() error {
		e, err := explain(ctx, c, q.path, q.tenant)
		if err != nil {
			return err
		}
		if last = e; e.first(q.endpoint).Kind != kind {
			return fmt.Errorf("%w: %s", wait.ErrNotReady, e.Sentence)
		}
		return nil
	})
	switch {
	case ctx.Err() != nil:
	case last == nil:
		t.Explained(condition, kind, "no answer", err.Error())
	case q.endpoint == "":
		t.Explained(condition, kind, last.first("").Kind, last.Sentence)
	default:
		named := last.first(q.endpoint)
		t.Explained(condition, kind, named.Kind, named.Sentence)
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
		for _, c := range e.Causes {
			expected := time.Duration(c.Data.ExpectedSeconds * float64(time.Second))
			if there = there || c.Kind == kind; c.Kind == kind && expected >= least && time.Since(begun) > 2*least {
				return prediction{time.Now(), expected}, true
			}
		}
		if !there && time.Since(begun) > 2*least {
			break
		}
	}
	return p, false
}
