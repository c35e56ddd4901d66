package stream

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"lanekeeper/domain"
	"lanekeeper/pkg/shares"
)

const (
	// catchUpBytes is what all clients that are behind may hold; a quarter of it
	// for one owner, and half of that for one tenant.
	catchUpBytes = 64 << 20

	defaultMaxClients = 10_000
	// readTimeout is the backstop of one read; the server's own statement
	// timeout comes first.
	readTimeout = 6 * time.Second
	// tenantMinimum is how many streams one tenant may have in any case, as far
	// as there may be so many at all.
	tenantMinimum = 1000
	// retryFull is when to come again while there are too many clients.
	retryFull = 5 * time.Second
	// retryClosing is when to come again while the service shuts down.
	retryClosing = time.Second
)

// Options configure a Service.
type Options struct {
	Streams domain.StreamRepository
	// Tails is where feeds read, unless they are behind it.
	Tails domain.Tails
	// Stored is called with tenants of which other replicas have stored messages,
	// or with none when it may be any tenant. It must not block, nor keep the slice.
	Stored func(tenants []uuid.UUID)
	// Encode returns a message as it is sent to clients, as a whole event. The
	// result must not be changed afterwards.
	Encode func(m *domain.Message) []byte
	// Redis is where replicas wake each other; nil for none. Timeouts, the
	// size of the pool and what else depends on the use are chosen here.
	Redis *redis.Options
	Log   *slog.Logger
	// Memory is what clients that are behind hold of what they have read until
	// they have sent it; nil for 64 MiB, of which one owner may have a quarter.
	Memory *shares.Shares
	// MaxClients is how many streams may be open at a time; 10,000 by default.
	MaxClients int
	// MaxTenantClients is how many of them may be one tenant's; half of them by
	// default, but at least 1,000.
	MaxTenantClients int
	// OwnerLimit returns how many streams the owner of a tenant may have open, all of
	// its tenants together; 0 for any number. It may be nil.
	OwnerLimit func(ctx context.Context, tenantID uuid.UUID) int
}

// Service is the realtime engine. Its methods are safe for concurrent use.
type Service struct {
	options Options
	bus     *bus // nil without Redis
	catchUp *catchUp
	// memory is how much all windows may hold before each is cut to its share,
	// and held how much they do.
	memory int64
	held   atomic.Int64
	// life ends with Close.
	life context.Context //nolint:containedctx // of the streams and feeds, not of a call
	end  context.CancelFunc
	// running are the feeds, and the clients that catch up. Run waits for them;
	// none is added after closed.
	running sync.WaitGroup

	mu      sync.RWMutex // guards the rest; nothing waits while it is held
	feeds   map[uuid.UUID]*feed
	clients int
	owners  map[string]int // how many clients each owner has
	closed  bool
}

// NewService returns a Service whose streams end when Run does.
func NewService(o Options) *Service {
	if o.MaxClients <= 0 {
		o.MaxClients = defaultMaxClients
	}
	if o.MaxTenantClients <= 0 {
		o.MaxTenantClients = max(o.MaxClients/2, tenantMinimum)
	}
	if o.Memory == nil {
		o.Memory = shares.New(shares.Options{
			Total: catchUpBytes, PerOwner: catchUpBytes / 4, PerUser: catchUpBytes / 8, Wait: 0, Queue: 1,
		})
	}
	s := &Service{
		options: o,
		memory:  allWindowsBytes,
		feeds:   make(map[uuid.UUID]*feed),
		owners:  make(map[string]int),
	}
	s.catchUp = newCatchUp(&s.running, o.Memory)
	s.life, s.end = context.WithCancel(context.Background())
	if o.Redis != nil {
		s.bus = newBus(o.Redis, o.Log, o.Stored)
	}
	return s
}

// Run exchanges wake-ups with other replicas until ctx ends, then closes the
// service and waits for everything that runs in it. Call it once.
func (s *Service) Run(ctx context.Context) {
	defer context.AfterFunc(ctx, s.Close)() // at once, whatever else ends
	if s.bus != nil {
		s.bus.run(ctx)
	}
	<-ctx.Done()
	s.Close()
	s.running.Wait()
}

// Close ends all streams at once and refuses new ones. Committed goes on
// waking other replicas until Run ends. It may be called more than once.
func (s *Service) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.end()
	s.catchUp.close()
}

// Committed wakes other replicas: messages of these tenants were stored here. It
// never blocks, costs next to nothing without Redis, and does not keep the slice.
func (s *Service) Committed(tenants []uuid.UUID) {
	if s.bus != nil {
		s.bus.add(tenants)
	}
}

// Clients returns how many streams are open.
func (s *Service) Clients() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.clients
}

// Open returns a stream of the tenant's messages after from; nil means from
// now on, and 0 from the oldest message that is kept. Close it afterwards.
// Errors are ErrNotFound for a tenant without a history, ErrConflict for a
// cursor that is ahead of it, ErrLimited when the owner has as many streams as it may, ErrGone for one after which messages are not
// kept any longer, and ErrUnavailable.
func (s *Service) Open(ctx context.Context, tenantID uuid.UUID, from *int64) (domain.EventStream, error) {
	// First there is a feed with a tail, which every commit reaches from now on,
	// then the end of the history is read.
	limit := 0
	if s.options.OwnerLimit != nil {
		limit = s.options.OwnerLimit(ctx, tenantID)
	}
	c, err := s.addClient(tenantID, cmp.Or(domain.Owner(ctx), tenantID.String()), limit)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	bounds, err := s.options.Streams.StreamBounds(ctx, tenantID)
	if err == nil {
		err = c.place(bounds, from)
	}
	if err != nil {
		c.Close() //nolint:contextcheck // others read in its room, for as long as their streams live
		return nil, err
	}
	s.startFeed(c, bounds) //nolint:contextcheck // the feed outlives the call
	return c, nil
}

// addClient adds a client to the tenant's feed, which is made for the first. Limit is
// how many the owner may have; 0 for any number.
func (s *Service) addClient(tenantID uuid.UUID, owner string, limit int) (*client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, errShuttingDown()
	case s.clients >= s.options.MaxClients:
		return nil, domain.New(domain.ErrUnavailable, "streams_full", "Too many streams are open; try again later.").After(retryFull)
	}
	if limit > 0 && s.owners[owner] >= limit {
		return nil, domain.QuotaExceeded("streams", "The tenants of the owner may have %d streams open together.", limit)
	}
	f := s.feeds[tenantID]
	if f != nil && len(f.clients) >= s.options.MaxTenantClients {
		return nil, domain.New(domain.ErrUnavailable, "tenant_streams_full", "The tenant has too many streams open; try again later.").After(retryFull)
	}
	if f == nil {
		f = newFeed(s, tenantID)
		s.feeds[tenantID] = f
	}
	c := newClient(s, f, f.added%groups, owner)
	f.added++
	f.clients[c] = struct{}{}
	s.clients++
	s.owners[owner]++
	return c, nil
}

// startFeed starts the feed, unless that was done.
func (s *Service) startFeed(c *client, bounds domain.StreamBounds) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := c.feed
	if f.begun || s.closed {
		return
	}
	f.begun = true
	f.window.reset(beginning(c.cursor.Load(), bounds))
	ctx, cancel := context.WithCancel(domain.WithTenantID(s.life, f.tenant))
	f.cancel = cancel
	s.running.Go(func() {
		defer cancel()
		f.run(ctx)
	})
}

// removeClient removes a client, and ends its feed when it was the last.
func (s *Service) removeClient(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(c.feed.clients, c)
	s.clients--
	if s.owners[c.by.Owner]--; s.owners[c.by.Owner] == 0 {
		delete(s.owners, c.by.Owner)
	}
	if len(c.feed.clients) == 0 {
		s.removeFeed(c.feed)
	}
}

// removeFeed ends a feed: clients that come now get another. The mutex must be held.
func (s *Service) removeFeed(f *feed) {
	if s.feeds[f.tenant] == f {
		delete(s.feeds, f.tenant)
	}
	f.stop()
}

// windowLimit returns how many bytes a window may hold now.
func (s *Service) windowLimit() int {
	if s.held.Load() <= s.memory {
		return windowBytes
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return int(min(windowBytes, s.memory/int64(max(1, len(s.feeds)))))
}

func errShuttingDown() error {
	return domain.New(domain.ErrUnavailable, "shutting_down", "The service is shutting down.").After(retryClosing)
}
