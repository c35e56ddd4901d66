package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"lanekeeper/tests/chaos/fault"
	"lanekeeper/tests/chaos/ledger"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/wait"
)

const (
	// backlogTenants is how many stopped tenants the owner has, backlogClients how many
	// publish to them, and backlogSize how large each message is.
	backlogTenants = 4
	backlogClients = 8
	backlogSize    = 200_000
	// diskLimit is how long the disk may take to get full.
	diskLimit = 90 * time.Second
	// heldBack is more than is free: the alarm stays, whatever else is deleted on the
	// machine.
	heldBack = int64(1) << 40
	// normalDisk is how much has to be free without the scenario.
	normalDisk = "50MB"
)

// backlogDisk has one owner publish to tenants whose consumers are stopped: until the
// limit of its backlog, and then without one until the disk of the broker is full.
func backlogDisk(ctx context.Context, t *trial) error {
	_, p, err := t.quietAndOthers(ctx, 0)
	if err != nil {
		return err
	}
	b, err := newBacklog(ctx, t)
	if err != nil {
		return err
	}
	defer b.member.CloseIdle()
	err = t.undisturbed(ctx, p, t.measure, func(ctx context.Context, meanwhile func() error) error {
		return fault.While(ctx, backlogClients, meanwhile, b.send)
	})
	explains(ctx, t, "a consumer was stopped", b.tenants[0], "consumer_stopped")
	waits := b.accepted.Load() * backlogSize >> 20
	t.Show("backlog", "%d MiB of at most %d, then %d refused with 429", waits, t.backlogMiB, b.refused.Load())
	// What is under way at the moment, and what the depths were not known of yet.
	if b.refused.Load() == 0 || waits > 2*int64(t.backlogMiB) {
		t.Fail("the limit of %d MiB did not hold: %d MiB wait, %d refused", t.backlogMiB, waits, b.refused.Load())
	}
	if err != nil {
		return errors.Join(err, b.resume(ctx), t.check(ctx))
	}
	if err := b.lift(ctx); err != nil {
		return err
	}
	p.ReadOnly = true
	err = t.undisturbed(ctx, p, t.measure, func(ctx context.Context, meanwhile func() error) (err error) {
		defer func() { err = errors.Join(err, b.clear(context.WithoutCancel(ctx))) }()
		if err := b.fillDisk(ctx); err != nil {
			return err
		}
		return fault.While(ctx, backlogClients, meanwhile, b.send)
	})
	t.Show("without the limit", "%d MiB in all; %d refused with 503 during the alarm", b.accepted.Load()*backlogSize>>20, b.blocked.Load())
	return errors.Join(err, b.resume(ctx), t.check(ctx))
}

// backlog is an owner whose consumers are stopped.
type backlog struct {
	t       *trial
	member  *member
	tenants []string

	turn, accepted, refused, blocked atomic.Int64
}

func newBacklog(ctx context.Context, t *trial) (*backlog, error) {
	m, err := newMember(ctx, t, "backlog")
	if err != nil {
		return nil, err
	}
	b := &backlog{t: t, member: m}
	if b.tenants, err = m.CreateTenants(ctx, "stopped", backlogTenants); err != nil {
		return nil, err //nolint:wrapcheck // says what went wrong
	}
	for _, tenant := range b.tenants {
		err = errors.Join(err, m.StopConsumer(ctx, tenant))
	}
	return b, err
}

// send publishes a large message, and waits when that was refused.
func (b *backlog) send(ctx context.Context) {
	tenant := b.tenants[int(b.turn.Add(1))%len(b.tenants)]
	attempts := b.t.ledger.OpenLarge(tenant, 1, backlogSize)
	r := b.member.Call(ctx, http.MethodPost, "/api/messages", tenant, "", fmt.Appendf(nil, `{"payload":%s}`, attempts[0].Payload))
	b.t.ledger.Close(attempts, []ledger.Outcome{load.OutcomeOf(r)})
	switch {
	case ctx.Err() != nil:
		return
	case r.Err == nil && r.Status == http.StatusAccepted:
		b.accepted.Add(1)
		return
	case overQuota(r):
		b.refused.Add(1)
	case r.Err == nil && r.Status == http.StatusServiceUnavailable && r.Header.Get("Retry-After") != "":
		b.blocked.Add(1)
	default:
		b.t.Fail("a message to a stopped consumer: %s", r.Text())
	}
	wait.For(ctx, load.RetryPause)
}

// lift takes the limits from the owner.
func (b *backlog) lift(ctx context.Context) error {
	r := b.t.client.Call(ctx, http.MethodPatch, "/api/users/"+b.member.id, "", "", []byte(`{"limits":{"backlog_mib":0,"backlog_mib_per_tenant":0}}`))
	if r.Err != nil || r.Status != http.StatusOK {
		return errors.Join(fmt.Errorf("%w: lift limits: %s", load.ErrUnexpected, r.Text()), r.Err)
	}
	return nil
}

// fillDisk has the broker raise the alarm when some more is on its disk, publishes
// that, and sees that the service goes on without the broker's help.
func (b *backlog) fillDisk(ctx context.Context) error {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(b.t.Shared.Dir.Path(), &disk); err != nil {
		return fmt.Errorf("ask how much is free: %w", err)
	}
	free := int64(disk.Bavail) * disk.Bsize
	if err := b.keepFree(ctx, strconv.FormatInt(free-int64(b.t.diskMiB)<<20, 10)); err != nil {
		return err
	}
	begun, before, blocked := time.Now(), b.accepted.Load(), b.blocked.Load()
	err := fault.While(ctx, backlogClients, func() error {
		return wait.Until(ctx, diskLimit, "the broker refuses", func() error {
			if b.blocked.Load() == blocked {
				return fmt.Errorf("%w: %d MiB published", wait.ErrNotReady, (b.accepted.Load()-before)*backlogSize>>20)
			}
			return nil
		})
	}, b.send)
	if err != nil {
		return err //nolint:wrapcheck // says what went wrong
	}
	b.t.Show("disk alarm", "after %d MiB more, in %.1f s", (b.accepted.Load()-before)*backlogSize>>20, time.Since(begun).Seconds())
	if err := b.keepFree(ctx, strconv.FormatInt(free+heldBack, 10)); err != nil {
		return err
	}
	if r := b.t.client.Call(ctx, http.MethodGet, "/readyz", "", "", nil); r.Status != http.StatusOK || !strings.Contains(string(r.Body), `"degraded"`) {
		b.t.Fail("/readyz says %s %s", r.Text(), r.Body)
	}
	explains(ctx, b.t, "disk alarm of the broker", b.t.tenants[0], "broker_blocked")
	return expectBlocked(ctx, b.t, nil)
}

// clear ends the alarm, and waits until publishing works again.
func (b *backlog) clear(ctx context.Context) error {
	if err := b.keepFree(ctx, normalDisk); err != nil {
		return err
	}
	begun := time.Now()
	err := b.t.newAvailability().AcceptedByAll(ctx)
	b.t.Show("accepted again after", "%.1f s of the alarm's end", time.Since(begun).Seconds())
	if took := time.Since(begun); float64(took) > b.t.slack*float64(alarmRecovery) {
		b.t.Fail("publishing took %v to recover", took)
	}
	return err //nolint:wrapcheck // says what went wrong
}

// keepFree sets how much has to be free on the broker's disk.
func (b *backlog) keepFree(ctx context.Context, limit string) error {
	if _, err := b.t.Servers.RabbitMQ.Rabbitmqctl(ctx, "set_disk_free_limit", limit); err != nil {
		return fmt.Errorf("set the limit of the disk: %w", err)
	}
	return nil
}

// resume has everything consumed.
func (b *backlog) resume(ctx context.Context) error {
	var errs []error
	for _, tenant := range b.tenants {
		errs = append(errs, b.member.StartConsumer(ctx, tenant))
	}
	return errors.Join(errs...)
}
