package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/receiver"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

const (
	// upgradeExtra is for building the earlier version, and for waiting.
	upgradeExtra = 5 * time.Minute
	// hangWorkers is how many messages each of the tenants has stored whose endpoint
	// hangs: as many as it has workers, and as many again wait for them.
	hangWorkers = 100
	// vanishLimit is until the tiers are gone: they are looked at each minute, and
	// have to be empty six times.
	vanishLimit = 8 * time.Minute
)

// retryTiers are the queues in which messages waited for their next attempt.
func retryTiers() []string {
	return []string{"lanekeeper.retry.1s", "lanekeeper.retry.5s", "lanekeeper.retry.30s", "lanekeeper.retry.2m", "lanekeeper.retry.10m"}
}

// upgrading is the service before and after the upgrade, with a tenant for each
// retry tier, more whose endpoints hang, and at last one whose endpoint said that it
// is gone, so that its messages are dead letters.
type upgrading struct {
	*trial

	older    *env.Service
	before   *load.Client
	receiver *receiver.Receiver
	// endpoints are those of the tenants, in their order: the first ones have their
	// messages in the tier of the same number.
	endpoints []*receiver.Endpoint
}

// upgrade has messages wait in every retry tier of the earlier version, and others
// stored and not acknowledged, kills it, and starts this one.
func upgrade(ctx context.Context, t *trial) (err error) {
	u := &upgrading{trial: t}
	if u.receiver, err = receiver.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, u.receiver.Close()) }()
	if err := u.bootOlder(ctx); err != nil {
		return err
	}
	defer u.older.Kill()
	if err := u.refused(ctx); err != nil {
		return err
	}
	if err := u.fill(ctx); err != nil {
		return err
	}
	if err := u.showWaiting(ctx); err != nil {
		return err
	}
	u.older.Kill()
	for _, e := range u.endpoints {
		e.Answer(receiver.Takes(0))
	}
	begun := time.Now()
	if err := t.Service.Start(ctx); err != nil {
		return err
	}
	t.Show("started", "%.1f s after the kill", time.Since(begun).Seconds())
	l := t.newLoad()
	for _, tenant := range t.tenants {
		l.Send(ctx, tenant, t.upgraded/10, true)
	}
	if err := u.replayGone(ctx); err != nil {
		return err
	}
	if err := u.awaitDelivered(ctx); err != nil {
		t.Fail("%v", err)
	}
	if err := u.compare(ctx); err != nil {
		return err
	}
	if t.vanish {
		if err := u.awaitVanished(ctx); err != nil {
			t.Fail("%v", err)
		}
	}
	// Those of the endpoint that is gone were replayed.
	t.forgives = func(kind string) bool { return kind == verify.Buried }
	return t.check(ctx)
}

// gone is the tenant whose endpoint said that it is gone, and hanging are those whose
// endpoints hang.
func (u *upgrading) gone() string { return u.tenants[len(u.tenants)-1] }

func (u *upgrading) hanging() []string { return u.tenants[len(retryTiers()) : len(u.tenants)-1] }

// bootOlder starts the earlier version and makes tenants with endpoints. Its tiers
// are there before: it takes them as they are, with waits that suit a test.
func (u *upgrading) bootOlder(ctx context.Context) error {
	program, err := env.BuildOlder(ctx, u.Shared)
	if err != nil {
		return err
	}
	u.older, err = env.NewService(program, filepath.Join(u.Dir, "older.log"), u.DatabaseURL, u.BrokerURL,
		"TRANSMIT_ALLOW_PRIVATE=true", "RETRY_MAX_ATTEMPTS=20")
	if err != nil {
		return err
	}
	u.Service, err = env.NewService(u.Shared.Program, filepath.Join(u.Dir, "service.log"), u.DatabaseURL, u.BrokerURL, "DELIVERY_ALLOW_PRIVATE=true")
	if err != nil {
		return err
	}
	u.before, u.client = load.NewClient(u.older.URL()), load.NewClient(u.Service.URL())
	defer u.before.CloseIdle()
	err = u.OnChannel(func(ch *amqp.Channel) error {
		for i, name := range retryTiers() {
			_, err := ch.QueueDeclare(name, true, false, false, false, amqp.Table{
				"x-queue-type": "quorum", "x-message-ttl": u.upgradeWaits[i].Milliseconds(), "x-dead-letter-exchange": "lanekeeper.return",
				"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish",
			})
			if err != nil {
				return fmt.Errorf("declare a retry tier: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := u.older.Start(ctx); err != nil {
		return err
	}
	if u.tenants, err = u.before.CreateTenants(ctx, "upgraded", len(retryTiers())+u.upgraded/hangWorkers+1); err != nil {
		return err
	}
	for i, tenant := range u.tenants {
		answer, workers := receiver.Refuses(http.StatusInternalServerError), 20
		switch {
		case tenant == u.gone():
			answer = receiver.Refuses(http.StatusGone)
		case i >= len(retryTiers()):
			answer, workers = receiver.Hangs(), hangWorkers
		}
		u.endpoints = append(u.endpoints, u.receiver.Add(answer))
		if r := u.before.Resize(ctx, tenant, workers); r.Status != http.StatusOK {
			return fmt.Errorf("%w: resize a tenant: %s", load.ErrUnexpected, r.Text())
		}
		body := fmt.Appendf(nil, `{"url":%q,"timeout_ms":15000}`, u.endpoints[i].URL)
		if r := u.before.Call(ctx, http.MethodPut, "/api/tenants/"+tenant+"/endpoint", "", "", body); r.Status/100 != 2 {
			return fmt.Errorf("%w: set an endpoint: %s %s", load.ErrUnexpected, r.Text(), r.Body)
		}
	}
	return nil
}

// refused has this version try to start beside the earlier one.
func (u *upgrading) refused(ctx context.Context) error {
	err := u.Service.Start(ctx)
	u.Service.Kill()
	if !errors.Is(err, wait.ErrEnded) {
		u.Fail("this version does not end when it is started beside the earlier one: %v", err)
	}
	text, err := os.ReadFile(u.Service.LogFile)
	if err != nil {
		return fmt.Errorf("read the service's log: %w", err)
	}
	if !strings.Contains(string(text), "replicas of an earlier version are running") {
		u.Fail("this version does not say why it ends")
	}
	return nil
}

// fill has messages arrive in all tiers at the same time: those for the last one
// begin first, since they go through the others.
func (u *upgrading) fill(ctx context.Context) error {
	l := load.New(u.before, u.ledger)
	l.Send(ctx, u.gone(), u.upgraded/10, true)
	if err := u.awaitCount(ctx, time.Minute, "messages of an endpoint that is gone are dead letters", u.upgraded/10,
		`SELECT count(*) FROM dead_letters WHERE tenant_id = $1 AND reason IN ('transmit_failed', 'endpoint_paused')`, u.gone()); err != nil {
		return err
	}
	for tier := len(retryTiers()) - 1; tier >= 0; tier-- {
		if tier == 1 { // hanging is over after the timeout of the endpoints
			for _, tenant := range u.hanging() {
				l.Send(ctx, tenant, 2*hangWorkers, true)
			}
			if err := u.awaitCount(ctx, time.Minute, "messages are stored and not acknowledged", u.upgraded/hangWorkers*hangWorkers,
				`SELECT sum(last_seq)::bigint FROM tenant_streams WHERE tenant_id = ANY($1::uuid[])`, u.hanging()); err != nil {
				return err
			}
		}
		l.Send(ctx, u.tenants[tier], u.upgraded, true)
		limit := time.Minute
		for _, wait := range u.upgradeWaits[:tier] {
			limit += wait
		}
		if err := u.awaitCount(ctx, limit, "messages are in the tier "+retryTiers()[tier], u.upgraded,
			`SELECT count(*) FROM transmissions WHERE tenant_id = $1 AND state = 'retrying' AND attempts > $2`, u.tenants[tier], tier); err != nil {
			return err
		}
	}
	return nil
}

func (u *upgrading) awaitCount(ctx context.Context, limit time.Duration, what string, n int, query string, args ...any) error {
	return u.InDatabase(ctx, func(conn *pgx.Conn) error {
		return wait.Until(ctx, limit, fmt.Sprintf("%d %s", n, what), func() error {
			var have int
			if err := conn.QueryRow(ctx, query, args...).Scan(&have); err != nil {
				return fmt.Errorf("count: %w", err)
			}
			if have < n {
				return fmt.Errorf("%w: %d", wait.ErrNotReady, have)
			}
			return nil
		})
	})
}

// showWaiting shows what waits where just before the kill.
func (u *upgrading) showWaiting(ctx context.Context) error {
	var depths []string
	err := u.EachQueue(retryTiers(), func(q amqp.Queue) error {
		depths = append(depths, fmt.Sprint(q.Messages))
		if q.Messages == 0 {
			u.Fail("nothing waited in %s", q.Name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	u.Show("in the tiers at the kill", "%s", strings.Join(depths, ", "))
	busy, _ := u.receiver.Busy()
	u.Show("at endpoints that hang", "%d", busy)
	return u.InDatabase(ctx, func(conn *pgx.Conn) error {
		var stored int
		err := conn.QueryRow(ctx, `SELECT sum(last_seq)::bigint FROM tenant_streams WHERE tenant_id = ANY($1::uuid[])`, u.hanging()).Scan(&stored)
		u.Show("stored, not acknowledged", "%d", stored)
		return err
	})
}
