package message

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// sampleAge is how old the depth of a queue may be: what was published in that
	// time may be missing in it, and is added.
	sampleAge = 5 * time.Second
	// recountEvery is how often the backlog of an owner is added up anew, once it
	// is too large.
	recountEvery = time.Second
	// maxBacklogs is how many tenants are remembered. When there are more, those that
	// were not published to for longest are forgotten.
	maxBacklogs = 20_000
	// backlogIdle is for how long a tenant is remembered at least that nobody
	// publishes to.
	backlogIdle = time.Minute

	mebibyte = 1 << 20
)

// backlogs estimates how many bytes wait in the queues of tenants and of their
// owners. AMQP tells how many messages wait, and not how large they are: so that is
// multiplied with the mean size of what was published here, and what was published
// since that was asked is added. It is safe for concurrent use.
type backlogs struct {
	depth func(tenantID uuid.UUID) (int64, bool) // does not block

	mu      sync.Mutex // guards the rest; nothing waits while it is held
	tenants map[uuid.UUID]*backlog
	owners  map[uuid.UUID]*ownerBacklog
}

// backlog is that of one tenant.
type backlog struct {
	owner *ownerBacklog
	// mean is the mean size of the latest messages, in bytes; 0 before the first.
	mean float64
	// recent and before are what was published since begun, and in the sampleAge
	// before that.
	recent, before int64
	begun          time.Time
	bytes          int64 // as estimated last
	used           time.Time
}

type ownerBacklog struct {
	id        uuid.UUID
	tenants   map[uuid.UUID]*backlog
	bytes     int64 // the sum of theirs
	recounted time.Time
}

func newBacklogs(depth func(uuid.UUID) (int64, bool)) *backlogs {
	return &backlogs{depth: depth, tenants: make(map[uuid.UUID]*backlog), owners: make(map[uuid.UUID]*ownerBacklog)}
}

// check returns an ErrLimited when too much waits in the tenant's queue, or in all of
// its owner's.
func (b *backlogs) check(ctx context.Context, t *domain.Tenant, limits domain.LimitFinder) error {
	allowed := limits.LimitsOf(ctx, t.OwnerID)
	if allowed.BacklogMiB <= 0 && allowed.BacklogMiBPerTenant <= 0 {
		return nil
	}
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	mine := b.of(t, now)
	b.estimate(t.ID, mine, now)
	owner := mine.owner
	switch {
	case allowed.BacklogMiBPerTenant > 0 && mine.bytes >= int64(allowed.BacklogMiBPerTenant)*mebibyte:
		return domain.QuotaExceeded("backlog_mib_per_tenant", "About %d MiB or more wait in the tenant's queue; try again when it has shrunk.",
			allowed.BacklogMiBPerTenant).After(backlogWait(t))
	case allowed.BacklogMiB <= 0 || owner.bytes < int64(allowed.BacklogMiB)*mebibyte:
		return nil
	}
	if now.Sub(owner.recounted) >= recountEvery { // the others may have shrunk
		owner.recounted = now
		for id, other := range owner.tenants {
			b.estimate(id, other, now)
		}
		if owner.bytes < int64(allowed.BacklogMiB)*mebibyte {
			return nil
		}
	}
	return domain.QuotaExceeded("backlog_mib", "About %d MiB or more wait in the queues of the owner's tenants; try again when they have shrunk.",
		allowed.BacklogMiB).After(backlogWait(t))
}

// backlogWait is what callers are told: nothing shrinks while the consumer is stopped.
func backlogWait(t *domain.Tenant) time.Duration {
	if t.Stopped {
		return stoppedRetryAfter
	}
	return backlogRetryAfter
}

// published notes messages that the broker has taken, or may have.
func (b *backlogs) published(t *domain.Tenant, messages int, bytes int64) {
	if messages == 0 || t.OwnerID == uuid.Nil {
		return
	}
	const weight = 1.0 / 32 // of one message in the mean
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	mine := b.of(t, now)
	size := float64(bytes) / float64(messages)
	if mine.mean == 0 {
		mine.mean = size
	}
	mine.mean += (size - mine.mean) * min(1, float64(messages)*weight)
	mine.recent += bytes
	mine.bytes += bytes // until it is estimated anew
	mine.owner.bytes += bytes
}

// of returns the tenant's entry, which is made when there is none. The mutex must be
// held.
func (b *backlogs) of(t *domain.Tenant, now time.Time) *backlog {
	mine := b.tenants[t.ID]
	if mine == nil {
		if len(b.tenants) >= maxBacklogs {
			b.forgetIdle(now)
		}
		owner := b.owners[t.OwnerID]
		if owner == nil {
			owner = &ownerBacklog{id: t.OwnerID, tenants: make(map[uuid.UUID]*backlog)}
			b.owners[t.OwnerID] = owner
		}
		mine = &backlog{owner: owner, begun: now}
		b.tenants[t.ID], owner.tenants[t.ID] = mine, mine
	}
	mine.used = now
	return mine
}

// estimate estimates the tenant's backlog anew. The mutex must be held.
func (b *backlogs) estimate(id uuid.UUID, mine *backlog, now time.Time) {
	switch age := now.Sub(mine.begun); {
	case age >= 2*sampleAge:
		mine.before, mine.recent, mine.begun = 0, 0, now
	case age >= sampleAge:
		mine.before, mine.recent, mine.begun = mine.recent, 0, now
	}
	bytes := mine.before + mine.recent
	if depth, known := b.depth(id); known {
		bytes += int64(float64(depth) * mine.mean)
	}
	mine.owner.bytes += bytes - mine.bytes
	mine.bytes = bytes
}

// forgetIdle forgets tenants that nobody publishes to. The mutex must be held.
func (b *backlogs) forgetIdle(now time.Time) {
	for id, mine := range b.tenants {
		if now.Sub(mine.used) < backlogIdle && len(b.tenants) < 2*maxBacklogs {
			continue
		}
		delete(b.tenants, id)
		delete(mine.owner.tenants, id)
		mine.owner.bytes -= mine.bytes
		if len(mine.owner.tenants) == 0 {
			delete(b.owners, mine.owner.id)
		}
	}
}
