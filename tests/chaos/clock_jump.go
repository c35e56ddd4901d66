package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"lanekeeper/tests/sse"
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
func clockJump(ctx context.Context, st *stage) error {
	st.suite.say("building the service with a clock that can be set")
	program, err := st.suite.buildSkewed(ctx, "skewed", "lanekeeper/tests/chaos/planted")
	if err != nil {
		return err
	}
	clock, err := newSkewed(filepath.Join(st.dir, "clock"))
	if err != nil {
		return err
	}
	defer clock.close()
	f := st.newFleet()
	for i := range replicas {
		if err := f.add(i, st.databaseURL, st.brokerURL, "JWT_SECRET="+runSecret, skewVariable+"="+filepath.Join(st.dir, "clock")); err != nil {
			return err
		}
	}
	f.replicas[0].program = program // the others have no use for the variable
	token, err := st.adminToken(ctx, runSecret)
	if err != nil {
		return err
	}
	if err := f.boot(ctx, token, st.fleetTenants); err != nil {
		return err
	}
	before, err := f.awaitBalance(ctx, st.service)
	if err != nil {
		return err
	}
	loadCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := st.startLoad(loadCtx, backgroundPause)
	defer func() { cancel(); l.stop() }()
	if err := l.awaitAccepted(ctx, st.background/4); err != nil {
		return err
	}
	j := &jumps{st: st, fleet: f, token: token}
	if err := j.begin(ctx); err != nil {
		return err
	}
	for _, ahead := range []time.Duration{time.Hour, 0, -time.Hour, 24 * time.Hour, -24 * time.Hour, 0} {
		clock.set(ahead)
		st.suite.say("%s: the clock of a replica is %v ahead", st.scenario.name, ahead)
		if err := j.look(ctx, ahead, l); err != nil {
			return fmt.Errorf("%v ahead: %w", ahead, err)
		}
		if !rest(ctx, outage) { // whoever would take it for dead has done so by now
			return ctx.Err()
		}
		if err := j.look(ctx, ahead, l); err != nil {
			return fmt.Errorf("%v ahead for %v: %w", ahead, outage, err)
		}
		if err := f.unmoved(ctx, before); err != nil {
			return err
		}
	}
	l.stop()
	st.show("jumps", "%d of one replica of %d: an hour and a day, forwards and back", j.looks/2, replicas)
	if err := st.check(ctx); err != nil {
		return err
	}
	return f.checkOverlaps()
}

// unmoved fails the scenario when a tenant has another consumer than before.
func (f *fleet) unmoved(ctx context.Context, before map[string]consumer) error {
	for _, s := range f.replicas {
		after, err := f.awaitBalance(ctx, s)
		if err != nil {
			return err
		}
		for tenant, c := range before {
			if after[tenant].ConsumerTag != c.ConsumerTag {
				f.st.fail("tenant %s was consumed as %s, now as %s", tenant, c.ConsumerTag, after[tenant].ConsumerTag)
			}
		}
	}
	return nil
}

// jumps is what callers hold on to while a clock jumps.
type jumps struct {
	st     *stage
	fleet  *fleet
	token  string // of the beginning
	tenant string
	keyed  *attempt // accepted at the beginning
	first  string   // the id that it got
	looks  int
}

func (j *jumps) begin(ctx context.Context) error {
	j.tenant = j.st.tenants[0]
	j.keyed = j.st.ledger.open(j.tenant, 1, true)[0]
	outcomes := j.st.client.publish(ctx, []*attempt{j.keyed})
	j.st.ledger.close([]*attempt{j.keyed}, outcomes)
	if outcomes[0].state != accepted202 {
		return fmt.Errorf("%w: %s", errUnexpected, outcomes[0].why)
	}
	j.first = outcomes[0].id
	return nil
}

// look makes sure that every replica keeps what any of them has promised.
func (j *jumps) look(ctx context.Context, ahead time.Duration, l *load) error {
	j.looks++
	st := j.st
	for i, s := range j.fleet.replicas {
		c := st.client.at(s.url())
		where := fmt.Sprintf("a replica with its clock %v ahead, replica %d", ahead, i+1)
		r := c.call(ctx, http.MethodGet, "/api/messages?limit=1", j.tenant, "", nil)
		st.expect(r, http.StatusOK, where+": the token of the beginning")
		r = c.call(ctx, http.MethodPost, "/api/messages", j.tenant, j.keyed.key, fmt.Appendf(nil, `{"payload":%s}`, j.keyed.payload))
		st.expect(r, http.StatusAccepted, where+": a key that was used")
		if o := single(r); o.id != j.first {
			st.fail("%s: the key of %s was answered with %q", where, j.first, o.id)
		}
		if err := j.session(ctx, c, where); err != nil {
			return err
		}
	}
	_, err := l.awaitGood(ctx)
	return err
}

// session logs in with one replica and has the others take the token, and the
// ticket that comes for it.
func (j *jumps) session(ctx context.Context, c *client, where string) error {
	st := j.st
	r := c.call(ctx, http.MethodPost, "/api/login", "", "", fmt.Appendf(nil, `{"email":%q,"password":%q}`, chaosEmail, chaosPassword))
	st.expect(r, http.StatusOK, where+": a login")
	var grant struct{ Token string }
	if err := json.Unmarshal(r.body, &grant); err != nil {
		return fmt.Errorf("read a login: %w", err)
	}
	for i, s := range j.fleet.replicas {
		other := st.client.at(s.url())
		other.token = grant.Token
		what := fmt.Sprintf("%s: its token at replica %d", where, i+1)
		r := other.call(ctx, http.MethodGet, "/api/messages?limit=1", j.tenant, "", nil)
		st.expect(r, http.StatusOK, what)
		r = c.call(ctx, http.MethodPost, "/api/messages/stream/tickets", j.tenant, "", nil)
		st.expect(r, http.StatusCreated, where+": a ticket")
		var issued struct{ Ticket string }
		if err := json.Unmarshal(r.body, &issued); err != nil {
			return fmt.Errorf("read a ticket: %w", err)
		}
		if err := firstOf(ctx, s.url(), j.tenant, issued.Ticket); err != nil {
			st.fail("%s: its ticket at replica %d: %v", where, i+1, err)
		}
	}
	return nil
}

// expect fails the scenario unless the answer has the status.
func (st *stage) expect(r reply, status int, what string) {
	if r.err != nil || r.status != status {
		st.fail("%s: %s", what, r.text())
	}
}

// firstOf opens a stream from the beginning with a ticket and reads an event.
func firstOf(ctx context.Context, base, tenant, ticket string) error {
	ctx, cancel := context.WithTimeout(ctx, firstEvent)
	defer cancel()
	query := url.Values{"cursor": {"0"}, "ticket": {ticket}, "tenant_id": {tenant}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/messages/stream?"+query.Encode(), nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("open stream: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errUnexpected, response.Status)
	}
	events := sse.NewReader(response.Body, 64<<10)
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
