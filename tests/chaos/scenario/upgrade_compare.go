package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/receiver"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

// replayGone resumes the endpoint that said that it is gone, which has got nothing
// meanwhile, and replays the dead letters of the earlier version.
func (u *upgrading) replayGone(ctx context.Context) error {
	endpoints := "/api/tenants/" + u.gone() + "/endpoints"
	var list struct{ Data []struct{ ID, Status string } }
	r := u.client.Call(ctx, http.MethodGet, endpoints, "", "", nil)
	if err := json.Unmarshal(r.Body, &list); err != nil || len(list.Data) != 1 || list.Data[0].Status != "disabled" {
		return fmt.Errorf("%w: the endpoint that is gone: %s %s", load.ErrUnexpected, r.Text(), r.Body)
	}
	if r := u.client.Call(ctx, http.MethodPost, endpoints+"/"+list.Data[0].ID+"/resume", "", "", nil); r.Status != http.StatusOK {
		return fmt.Errorf("%w: resume an endpoint: %s", load.ErrUnexpected, r.Text())
	}
	var replay struct{ Replayed, Skipped int }
	r = u.client.Call(ctx, http.MethodPost, "/api/dead-letters/replay", u.gone(), "", []byte(`{"all":true}`))
	if err := json.Unmarshal(r.Body, &replay); err != nil || replay.Replayed != u.upgraded/10 || replay.Skipped != 0 {
		return fmt.Errorf("%w: replay dead letters: %s %s", load.ErrUnexpected, r.Text(), r.Body)
	}
	return nil
}

// awaitDelivered waits until nothing is in a tier, in a queue, or open.
func (u *upgrading) awaitDelivered(ctx context.Context) error {
	begun := time.Now()
	if err := u.awaitTiers(ctx); err != nil {
		return err
	}
	if err := u.checker().AwaitDrained(ctx); err != nil {
		return err
	}
	err := verify.AwaitDelivered(ctx, u.Env, u.receiver, nil, time.Minute)
	u.Show("delivered", "%.1f s after the last was published", time.Since(begun).Seconds())
	return err
}

// awaitTiers waits until the tiers are empty.
func (u *upgrading) awaitTiers(ctx context.Context) error {
	longest := slices.Max(u.upgradeWaits)
	return wait.Until(ctx, longest+time.Minute, "the retry tiers are empty", func() error {
		return u.EachQueue(retryTiers(), func(q amqp.Queue) error {
			if q.Messages > 0 {
				return fmt.Errorf("%w: %d in %s", wait.ErrNotReady, q.Messages, q.Name)
			}
			return nil
		})
	})
}

// upgradedRow is a stored message, and what is known of its delivery.
type upgradedRow struct {
	tenant, id string
	seq        int64
	before     bool   // it was stored before the upgrade
	state      string // in transmissions; "" for no row there
	attempts   int    // that the earlier version made
	first      int    // number of the first attempt that this version made; 0 for none
	payload    string
}

const upgradedSQL = `
SELECT m.tenant_id::text, m.id::text, m.seq, m.seq <= u.up_to, coalesce(t.state, ''), coalesce(t.attempts, 0),
       coalesce((SELECT min(a.number) FROM attempts a WHERE a.tenant_id = m.tenant_id AND a.message_id = m.id), 0), m.payload::text
FROM messages m
JOIN upgraded_endpoints u ON u.tenant_id = m.tenant_id
LEFT JOIN transmissions t ON t.tenant_id = m.tenant_id AND t.message_id = m.id`

// compare looks for every stored message at its endpoint, and at what is said of it.
// It reads attempts, so everything has to be settled.
func (u *upgrading) compare(ctx context.Context) error {
	taken := make([]map[string][]receiver.Arrival, len(u.endpoints))
	for i, e := range u.endpoints {
		taken[i] = make(map[string][]receiver.Arrival)
		for _, a := range e.Arrivals() {
			if a.Taken {
				taken[i][a.Message] = append(taken[i][a.Message], a)
			}
		}
	}
	wrong := make(map[string][]string)
	note := func(kind string, row *upgradedRow) {
		wrong[kind] = append(wrong[kind], fmt.Sprintf("%d (%s) of tenant %s", row.seq, row.id, row.tenant))
	}
	moved, replayed, later, again := 0, 0, 0, 0
	err := u.InDatabase(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, upgradedSQL)
		if err != nil {
			return fmt.Errorf("read messages: %w", err)
		}
		var r upgradedRow
		_, err = pgx.ForEachRow(rows, []any{&r.tenant, &r.id, &r.seq, &r.before, &r.state, &r.attempts, &r.first, &r.payload}, func() error {
			gone := r.before && r.tenant == u.gone()
			got := taken[slices.Index(u.tenants, r.tenant)][r.id]
			again += max(0, len(got)-1)
			switch {
			case len(got) == 0:
				note("never delivered", &r)
			case got[0].Seq != r.seq || got[0].Body != receiver.Hash([]byte(r.payload)):
				note("delivered with another body or seq", &r)
			case r.before && !gone && r.state != "moved" || gone && r.state != "failed":
				note("delivered, and transmissions says "+r.state, &r)
			case !r.before && r.state != "":
				note("stored by this version, and in transmissions", &r)
			case gone && r.first != 1 || !gone && r.first != r.attempts+1:
				note(fmt.Sprintf("attempt %d came after %d", r.first, r.attempts), &r)
			case gone:
				replayed++
			case r.before:
				moved++
			default:
				later++
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read messages: %w", err)
		}
		var letters int
		err = conn.QueryRow(ctx, `SELECT count(*) FROM dead_letters WHERE tenant_id <> $1 OR replayed_at IS NULL`, u.gone()).Scan(&letters)
		if letters > 0 {
			u.Fail("%d dead letters", letters)
		}
		return err
	})
	u.Show("moved, replayed, new", "%d, %d, %d", moved, replayed, later)
	u.Show("delivered again", "%d", again)
	for kind, messages := range wrong {
		u.Fail("%s: %d; %s", kind, len(messages), strings.Join(messages[:min(3, len(messages))], "; "))
	}
	return err
}

// awaitVanished waits until the tiers are deleted.
func (u *upgrading) awaitVanished(ctx context.Context) error {
	begun := time.Now()
	err := wait.Until(ctx, vanishLimit, "the retry tiers are gone", func() error {
		names, err := u.QueueNames(ctx)
		if err != nil {
			return err
		}
		for _, name := range names {
			if strings.HasPrefix(name, "lanekeeper.") {
				wait.For(ctx, time.Second)
				return fmt.Errorf("%w: %s is there", wait.ErrNotReady, name)
			}
		}
		return nil
	})
	u.Show("tiers gone", "%.0f s after they were empty", time.Since(begun).Seconds())
	return err
}
