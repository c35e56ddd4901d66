package tenant

import (
	"context"
	"fmt"
	"sync"
	"time"

	"lanekeeper/domain"
)

const (
	// countedFor is how long a number of tenants is used before they are
	// counted again; those admitted here meanwhile are added to it.
	countedFor = time.Second
	// capacityRetryAfter is what callers are told: somebody has to delete
	// tenants, or to allow the broker more files.
	capacityRetryAfter = time.Minute
)

// CapacityOptions configure NewCapacity.
type CapacityOptions struct {
	// FileLimit is how many open files the broker may have; 0 for unknown.
	FileLimit int
	Footprint domain.Footprint
	// Count returns how many tenants there are that have queues.
	Count func(ctx context.Context) (int, error)
	// Replicas returns how many processes share the broker; nil means one.
	Replicas func() int
	// Room returns an ErrNoCapacity when the broker is known to allow no
	// connection or channel for another consumer; nil asks for none.
	Room func(ctx context.Context) error
}

// Capacity knows whether the broker has room for more tenants. It is safe for
// concurrent use. Nil has room for any number.
type Capacity struct {
	o CapacityOptions

	mu      sync.Mutex
	tenants int
	counted time.Time
}

// NewCapacity returns a Capacity.
func NewCapacity(o CapacityOptions) *Capacity {
	if o.Replicas == nil {
		o.Replicas = func() int { return 1 }
	}
	return &Capacity{o: o}
}

// Use returns what the tenants there are need. Without a known limit it makes
// no call and returns the zero value.
func (c *Capacity) Use(ctx context.Context) (domain.FileUse, error) {
	return c.use(ctx, 0)
}

// Admit returns nil when there is room for one more tenant, and counts it.
// Otherwise the error is ErrUnavailable with code "broker_capacity".
func (c *Capacity) Admit(ctx context.Context) error {
	if c == nil {
		return nil
	}
	if c.o.Room != nil {
		if err := c.o.Room(ctx); err != nil {
			return err
		}
	}
	use, err := c.use(ctx, 1)
	if err != nil {
		return err
	}
	if use.Full() {
		return domain.NoCapacity(nil,
			fmt.Sprintf("The message broker has no room for the queues of another tenant: with it, %d of its %d open files would be needed.", use.Need, use.Limit)).
			After(capacityRetryAfter)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tenants++
	return nil
}

func (c *Capacity) use(ctx context.Context, more int) (domain.FileUse, error) {
	if c == nil || c.o.FileLimit <= 0 {
		return domain.FileUse{}, nil
	}
	tenants, err := c.count(ctx)
	if err != nil {
		return domain.FileUse{}, err
	}
	return domain.FileUse{Need: c.o.Footprint.Files(tenants+more, c.o.Replicas()), Limit: c.o.FileLimit}, nil
}

// count returns the number of tenants as it was a moment ago. Several calls
// may count at once, which is harmless.
func (c *Capacity) count(ctx context.Context) (int, error) {
	c.mu.Lock()
	tenants, fresh := c.tenants, time.Since(c.counted) < countedFor
	c.mu.Unlock()
	if fresh {
		return tenants, nil
	}
	begun := time.Now()
	tenants, err := c.o.Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("count tenants: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tenants, c.counted = tenants, begun
	return tenants, nil
}
