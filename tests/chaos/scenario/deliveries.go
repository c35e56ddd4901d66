package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"time"

	"lanekeeper/tests/chaos/ledger"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/receiver"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

const (
	// claimLimit is how long after the end of a process others may take to deliver
	// in its place, where deliverResume is what is waited for, to see how late.
	claimLimit    = 15 * time.Second
	deliverResume = 60 * time.Second
	// deliveredLimit is how long everything may take to be delivered after a load,
	// and plantedLimit the same where a bug may let it wait for ever: longer than a
	// successor waits for a claim.
	deliveredLimit = 5 * time.Minute
	plantedLimit   = 25 * time.Second
	// endedLimit is after which time a deleted endpoint gets nothing.
	endedLimit = 5 * time.Second
	// envelopeKeys is how many keys the messages of a load have.
	envelopeKeys = 7
)

// localEndpoints lets endpoints be on this machine.
func localEndpoints(more ...string) []string { return append(more, "DELIVERY_ALLOW_PRIVATE=true") }

// planting returns the variables of localEndpoints for a fleet, whose replicas have
// the bug of the scenario, if it has one.
func planting(t *trial) []string {
	if t.scenario.bug != "" {
		return localEndpoints("CHAOS_BUG=" + t.scenario.bug)
	}
	return localEndpoints()
}

// deliveries is the endpoints of a trial, and what becomes of them. One goroutine
// uses it.
type deliveries struct {
	t             *trial
	receiver      *receiver.Receiver
	subscriptions []*verify.Subscription
	// crashes is how often something happened after which deliveries are repeated.
	crashes int
	// workers is how many the tenants have since resize.
	workers int
}

// newDeliveries starts a receiver. Call close at the end.
func newDeliveries(ctx context.Context, t *trial) (*deliveries, error) {
	r, err := receiver.Start(ctx)
	return &deliveries{t: t, receiver: r}, err //nolint:wrapcheck // says what is wrong
}

func (d *deliveries) close() error { return d.receiver.Close() } //nolint:wrapcheck // as above

// quickRetries is a schedule that nothing uses up which succeeds some day.
func quickRetries(steps int) map[string]any {
	schedule := make([]string, steps)
	for i := range schedule {
		schedule[i] = "1s"
	}
	return map[string]any{"schedule": schedule}
}

// subscribe makes an endpoint of a tenant that answers like this. More has the
// fields that it has besides its URL and a quick schedule.
func (d *deliveries) subscribe(ctx context.Context, c *load.Client, tenant string, answer receiver.Answer, more map[string]any) (*verify.Subscription, error) {
	s := &verify.Subscription{Endpoint: d.receiver.Add(answer), Tenant: tenant, Ordering: "none"}
	fields := map[string]any{"url": s.URL, "retry": quickRetries(30)}
	maps.Copy(fields, more)
	if ordering, ok := more["ordering"].(string); ok {
		s.Ordering = ordering
	}
	if types, ok := more["types"].([]string); ok {
		s.Must, s.May = types, types
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("write an endpoint: %w", err)
	}
	r := c.Call(ctx, http.MethodPost, endpointsPath(tenant), "", "", body)
	var made struct{ ID string }
	if r.Err == nil && r.Status == http.StatusCreated {
		err = json.Unmarshal(r.Body, &made)
	}
	if made.ID == "" {
		return nil, errors.Join(fmt.Errorf("%w: make an endpoint: %s", load.ErrUnexpected, r.Text()), r.Err, err)
	}
	s.ID = made.ID
	d.subscriptions = append(d.subscriptions, s)
	return s, nil
}

func endpointsPath(tenant string) string { return "/api/tenants/" + tenant + "/endpoints" }

// unsubscribe deletes an endpoint. Soon after that nothing may arrive there.
func (d *deliveries) unsubscribe(ctx context.Context, c *load.Client, s *verify.Subscription) error {
	r := c.Call(ctx, http.MethodDelete, endpointsPath(s.Tenant)+"/"+s.ID, "", "", nil)
	if r.Err != nil || r.Status != http.StatusNoContent {
		return errors.Join(fmt.Errorf("%w: delete an endpoint: %s", load.ErrUnexpected, r.Text()), r.Err)
	}
	s.Gone = true
	s.Limit(0, time.Duration(d.t.slack*float64(endedLimit)))
	return nil
}

// change changes an endpoint.
func (d *deliveries) change(ctx context.Context, c *load.Client, s *verify.Subscription, fields map[string]any) error {
	body, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("write a change: %w", err)
	}
	r := c.Call(ctx, http.MethodPatch, endpointsPath(s.Tenant)+"/"+s.ID, "", "", body)
	if r.Err != nil || r.Status != http.StatusOK {
		return errors.Join(fmt.Errorf("%w: change an endpoint: %s", load.ErrUnexpected, r.Text()), r.Err)
	}
	return nil
}

// endpointState is what GET says of an endpoint.
type endpointState struct {
	Status  string
	Lag     int64
	Settled int64 `json:"settled_seq"`
	Open    int64
	Breaker struct{ Open bool }
}

// state asks for an endpoint.
func (d *deliveries) state(ctx context.Context, s *verify.Subscription) (e endpointState, err error) {
	r := d.t.client.Call(ctx, http.MethodGet, endpointsPath(s.Tenant)+"/"+s.ID, "", "", nil)
	if r.Err != nil || r.Status != http.StatusOK {
		return e, errors.Join(fmt.Errorf("%w: read an endpoint: %s", load.ErrUnexpected, r.Text()), r.Err)
	}
	if err := json.Unmarshal(r.Body, &e); err != nil {
		return e, fmt.Errorf("read an endpoint: %w", err)
	}
	return e, nil
}

// awaitAll waits until something has arrived since that moment at every endpoint
// that there is, and returns how long after it. There has to be a load.
func (d *deliveries) awaitAll(ctx context.Context, since time.Time) (time.Duration, error) {
	err := wait.Until(ctx, deliverResume, "all endpoints are delivered to", func() error {
		for _, s := range d.subscriptions {
			if n, last := s.Taken(); !s.Gone && !last.After(since) && !d.usedUp(s) {
				return fmt.Errorf("%w: nothing arrived at %s endpoint %s of tenant %s, which has taken %d", wait.ErrNotReady, s.Ordering, s.ID, s.Tenant, n)
			}
		}
		return nil
	})
	return time.Since(since), err
}

// usedUp reports whether there is nothing left to be delivered in front of a fleet with a
// planted bug, which takes no time to move tenants.
func (d *deliveries) usedUp(s *verify.Subscription) bool {
	n, _ := s.Taken()
	return d.t.scenario.bug != "" && n >= d.t.deliveryBacklog
}

// check waits until everything is stored and delivered, ends the service, and
// compares what is stored with the ledger, and what was delivered with what is
// stored.
func (d *deliveries) check(ctx context.Context) error {
	c := d.t.checker()
	c.Patient = true
	begun := time.Now()
	if err := c.AwaitDrained(ctx); err != nil {
		d.t.Fail("%v", err)
	}
	limit := deliveredLimit
	if d.t.scenario.bug != "" {
		limit = plantedLimit
	}
	// Where a bug was planted this is not what has to be noticed.
	if err := verify.AwaitDelivered(ctx, d.t.Env, d.receiver, d.subscriptions, limit); err != nil && d.t.scenario.bug == "" {
		d.t.Fail("%v", err)
	}
	d.t.Show("delivered", "%.1f s after the load", time.Since(begun).Seconds())
	compared := &verify.Deliveries{Env: d.t.Env, Result: d.t.Result, Receiver: d.receiver, Subscriptions: d.subscriptions, Crashes: d.crashes}
	return errors.Join(c.Check(ctx), compared.Compare(ctx))
}

// messageTypes are those of the messages of a load.
func messageTypes() []string { return []string{"order.created", "user.created", "note.taken"} }

// envelope gives messages one of three types, and most of them one of some keys.
func envelope(a *ledger.Attempt) {
	types := messageTypes()
	a.Type = types[a.Number%int64(len(types))]
	if key := a.Number % (envelopeKeys + 1); key > 0 {
		a.OrderingKey = "key-" + strconv.FormatInt(key, 10)
	}
}
