package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"lanekeeper/pkg/sse"
	"lanekeeper/tests/chaos/fault"
	"lanekeeper/tests/chaos/ledger"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/wait"
)

const (
	// skewExtra is for building the service once more, with the standard library.
	skewExtra = 10 * time.Minute
	// firstEvent is how long a stream may take to begin.
	firstEvent = 10 * time.Second
	// chaosPassword is that of the admin whose tokens a run uses.
	chaosPassword = "correct horse battery staple"
	chaosEmail    = "chaos@example.org"
)

// clockJump has the clock of one replica of three jump while all of them work.
func clockJump(ctx context.Context, t *trial) error {
	t.Shared.Say("building the service with a clock that can be set")
	program, err := fault.BuildWithClock(ctx, t.Shared, "skewed", "lanekeeper/tests/chaos/bugs")
	if err != nil {
		return err
	}
	clock, err := fault.NewClock(filepath.Join(t.Dir, "clock"))
	if err != nil {
		return err
	}
	defer clock.Close()
	f, err := newFleet(t, "JWT_SECRET="+runSecret, fault.ClockVariable+"="+filepath.Join(t.Dir, "clock"))
	if err != nil {
		return err
	}
	f.replicas[0].Program = program // the others have no use for the variable
	token, err := adminToken(ctx, t, runSecret)
	if err != nil {
		return err
	}
	if err := f.boot(ctx, token, t.fleetTenants); err != nil {
		return err
	}
	before, err := f.awaitBalance(ctx, t.Service)
	if err != nil {
		return err
	}
	l, end := t.startLoad(ctx, load.BackgroundPause)
	defer end()
	if err := l.AwaitAccepted(ctx, t.background/4); err != nil {
		return err
	}
	j := &jumps{t: t, fleet: f, token: token}
	if err := j.begin(ctx); err != nil {
		return err
	}
	for _, ahead := range []time.Duration{time.Hour, 0, -time.Hour, 24 * time.Hour, -24 * time.Hour, 0} {
		clock.Set(ahead)
		t.say("the clock of a replica is %v ahead", ahead)
		if err := j.checkAll(ctx, ahead, l); err != nil {
			return fmt.Errorf("%v ahead: %w", ahead, err)
		}
		if !wait.For(ctx, outage) { // a replica that would take it for dead has done so by now
			return ctx.Err()
		}
		if err := j.checkAll(ctx, ahead, l); err != nil {
			return fmt.Errorf("%v ahead for %v: %w", ahead, outage, err)
		}
		if _, err := f.moved(ctx, before); err != nil {
			return err
		}
	}
	l.Stop()
	t.Show("jumps", "%d of one replica of %d: an hour and a day, forwards and back", j.checks/2, replicas)
	if err := t.check(ctx); err != nil {
		return err
	}
	return f.checkOverlaps()
}

// jumps is what callers hold on to while a clock jumps.
type jumps struct {
	t      *trial
	fleet  *fleet
	token  string // of the beginning
	tenant string
	keyed  *ledger.Attempt // accepted at the beginning
	first  string          // the id that it got
	checks int
}

func (j *jumps) begin(ctx context.Context) error {
	j.tenant = j.t.tenants[0]
	j.keyed = j.t.ledger.Open(j.tenant, 1, true)[0]
	outcomes := j.t.client.Publish(ctx, []*ledger.Attempt{j.keyed})
	j.t.ledger.Close([]*ledger.Attempt{j.keyed}, outcomes)
	if outcomes[0].State != ledger.Accepted {
		return fmt.Errorf("%w: %s", load.ErrUnexpected, outcomes[0].Why)
	}
	j.first = outcomes[0].ID
	return nil
}

// checkAll makes sure that every replica keeps what any of them has promised.
func (j *jumps) checkAll(ctx context.Context, ahead time.Duration, l *load.Load) error {
	j.checks++
	t := j.t
	for i, s := range j.fleet.replicas {
		c := t.client.At(s.URL())
		where := fmt.Sprintf("a replica with its clock %v ahead, replica %d", ahead, i+1)
		r := c.Call(ctx, http.MethodGet, "/api/messages?limit=1", j.tenant, "", nil)
		expect(t, r, http.StatusOK, where+": the token of the beginning")
		r = c.Call(ctx, http.MethodPost, "/api/messages", j.tenant, j.keyed.Key, fmt.Appendf(nil, `{"payload":%s}`, j.keyed.Payload))
		expect(t, r, http.StatusAccepted, where+": a key that was used")
		if o := load.OutcomeOf(r); o.ID != j.first {
			t.Fail("%s: the key of %s was answered with %q", where, j.first, o.ID)
		}
		if err := j.session(ctx, c, where); err != nil {
			return err
		}
	}
	_, err := l.AwaitGood(ctx)
	return err
}

// session logs in with one replica and has the others take the token, and the
// ticket that comes for it.
func (j *jumps) session(ctx context.Context, c *load.Client, where string) error {
	t := j.t
	r := c.Call(ctx, http.MethodPost, "/api/login", "", "", fmt.Appendf(nil, `{"email":%q,"password":%q}`, chaosEmail, chaosPassword))
	expect(t, r, http.StatusOK, where+": a login")
	var grant struct{ Token string }
	if err := json.Unmarshal(r.Body, &grant); err != nil {
		return fmt.Errorf("read a login: %w", err)
	}
	for i, s := range j.fleet.replicas {
		other := t.client.At(s.URL())
		other.Token = grant.Token
		what := fmt.Sprintf("%s: its token at replica %d", where, i+1)
		r := other.Call(ctx, http.MethodGet, "/api/messages?limit=1", j.tenant, "", nil)
		expect(t, r, http.StatusOK, what)
		r = c.Call(ctx, http.MethodPost, "/api/messages/stream/tickets", j.tenant, "", nil)
		expect(t, r, http.StatusCreated, where+": a ticket")
		var issued struct{ Ticket string }
		if err := json.Unmarshal(r.Body, &issued); err != nil {
			return fmt.Errorf("read a ticket: %w", err)
		}
		if err := firstOf(ctx, s.URL(), j.tenant, issued.Ticket); err != nil {
			t.Fail("%s: its ticket at replica %d: %v", where, i+1, err)
		}
	}
	return nil
}

// expect fails the scenario unless the answer has the status.
func expect(t *trial, r load.Reply, status int, what string) {
	if r.Err != nil || r.Status != status {
		t.Fail("%s: %s", what, r.Text())
	}
}

// firstOf opens a stream from the beginning with a ticket and reads an event.
func firstOf(ctx context.Context, base, tenant, ticket string) error {
	ctx, cancel := context.WithTimeout(ctx, firstEvent)
	defer cancel()
	query := url.Values{"cursor": {"0"}, "ticket": {ticket}, "tenant_id": {tenant}}
	events, err := sse.Open(ctx, http.DefaultClient, base+"/api/messages/stream?"+query.Encode(), nil, 64<<10)
	if err != nil {
		return err //nolint:wrapcheck // says what is wrong
	}
	defer events.Close()
	for {
		e, err := events.Next()
		if err != nil {
			return fmt.Errorf("read stream: %w", err)
		}
		if e.Data != nil && strings.TrimSpace(string(e.ID)) != "" {
			return nil
		}
	}
}
