package controller

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
)

const (
	// DefaultHeartbeat is the time without an event after which a stream gets a
	// comment, so that proxies between it and its client see it live.
	DefaultHeartbeat = 15 * time.Second
	// DefaultWriteTimeout is how long a client may take no byte of what it is
	// sent before it is dropped.
	DefaultWriteTimeout = 10 * time.Second
	// DefaultRecheck is how often a stream checks that its caller may still
	// read.
	DefaultRecheck = time.Second
)

// streamService opens streams. The context is only for the opening.
type streamService interface {
	Open(ctx context.Context, tenantID uuid.UUID, from *int64) (domain.EventStream, error)
}

// StreamTiming is how streams are kept; zero values mean the defaults.
type StreamTiming struct {
	Heartbeat    time.Duration
	WriteTimeout time.Duration
	Recheck      time.Duration
}

func (t StreamTiming) orDefaults() StreamTiming {
	return StreamTiming{
		Heartbeat:    cmp.Or(t.Heartbeat, DefaultHeartbeat),
		WriteTimeout: cmp.Or(t.WriteTimeout, DefaultWriteTimeout),
		Recheck:      cmp.Or(t.Recheck, DefaultRecheck),
	}
}

type streamController struct {
	streams streamService
	tickets ticketService
	auth    authService
	tenants tenantDirectory
	timing  StreamTiming
	dropped func() // may be nil
}

// open streams the messages of a tenant as they are stored.
//
//	@Summary		Follow messages as they are stored
//	@ID			streamMessages
//	@Description	Server-sent events, one for each message: `id` is its `seq`, `event` is `message`, and `data` the message as GET /messages shows it, in one line. A stream goes on after the place that `Last-Event-ID` names, or else `cursor` (`Last-Event-ID` wins, because EventSource comes back to the same URL), and misses and repeats nothing; with neither it begins with what is stored from now on, and 0 begins at the oldest message that is kept. A comment comes every 15 seconds in which there was no event.
//	@Description
//	@Description	A stream ends when its caller may not read any longer, at the latest when its token or API key expires, when the service stops, and when its client takes nothing for 10 seconds; its client can come back with `Last-Event-ID`. Where headers cannot be sent `ticket` stands for the token and the tenant; a client that resumes by it takes over from a stream that is still open, within 4 seconds. An EventSource gives up for good after any status but 200, so a client that comes by ticket and resumes, or accepts `text/event-stream`, gets instead of a 429 or 503 a stream that ends at once, with `retry` and the code as a comment. HEAD opens no stream, and takes no ticket. 429 is `quota_exceeded` when the tenants of the owner have as many streams open as they may; 503 is `streams_full` when a replica, and `tenant_streams_full` when the tenant has too many open.
//	@Tags			messages
//	@Security		BearerAuth
//	@Produce		event-stream
//	@Param			X-Tenant-ID						header		string	false	"The tenant; may be left out by a caller that belongs to one, and with a ticket"	format(uuid)
//	@Param			tenant_id						query		string	false	"The same as X-Tenant-ID"															format(uuid)
//	@Param			Last-Event-ID					header		string	false	"The `seq` after which to go on"
//	@Param			cursor							query		string	false	"The same, for a first time"
//	@Param			ticket							query		string	false	"From POST /messages/stream/tickets; counts instead of the token"
//	@Success		200								{string}	string	"The events"
//	@Failure		400,401,403,404,409,410,429,500,503	{object}	model.Problem
//	@Router			/messages/stream [get]
//	@x-scope			"read"
func (s *streamController) open(c *gin.Context) error {
	begin, err := requestedBeginning(c)
	if err != nil {
		return err
	}
	ctx, caller, tenant := c.Request.Context(), middleware.Principal(c), middleware.Tenant(c)
	// There is some leeway for tokens that have just expired, but streams end
	// without.
	if _, err := s.auth.Recheck(ctx, caller); err != nil {
		return err
	}
	if c.Request.Method == http.MethodHead {
		beginStream(c)
		return nil
	}
	events, err := s.streams.Open(ctx, tenant.ID, begin.from)
	if err != nil {
		return err
	}
	defer events.Close()
	middleware.SetEndReason(c, s.run(c, events, greeting(c, begin, events)))
	return nil
}

// run sends the stream until something ends it, and returns what that was, in a
// word.
func (s *streamController) run(c *gin.Context, events domain.EventStream, hello []byte) string {
	ctx, end := middleware.Outlive(c)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer end(nil)
	watching.Go(func() { end(s.watch(ctx, middleware.Principal(c), middleware.Tenant(c).ID)) })
	held := requestTicket(c)
	if held != nil {
		watching.Go(func() { end(s.tickets.Keep(ctx, held.Ticket, held.claim)) })
	}
	beginStream(c)
	to := newEventWriter(ctx, c.Writer, s.timing.WriteTimeout)
	err := to.write(ctx, hello)
	middleware.Observe(c, http.StatusOK)
	if err == nil {
		if held != nil {
			held.used = true
		}
		err = s.send(ctx, to, events)
	}
	why := reasonOf(err)
	end(nil)
	watching.Wait() // before the end has its deadline
	to.finish(why)
	if why == reasonDropped && s.dropped != nil {
		s.dropped()
	}
	return why
}

// send sends events, and heartbeats while there are none, until the stream or ctx
// ends. The error is the reason.
func (s *streamController) send(ctx context.Context, to *eventWriter, events domain.EventStream) error {
	for {
		waiting, cancel := context.WithTimeout(ctx, s.timing.Heartbeat)
		frames, err := events.Next(waiting)
		quiet := waiting.Err() != nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && quiet && errors.Is(err, context.DeadlineExceeded):
			frames = []byte(heartbeat)
		case err != nil:
			return err
		}
		if err := to.write(ctx, frames); err != nil {
			return err
		}
	}
}

// watch checks every now and then that the caller may still read. It returns why
// not, or the cause of the end of ctx. What cannot be found out changes nothing.
func (s *streamController) watch(ctx context.Context, caller domain.Principal, tenantID uuid.UUID) error {
	tick := time.NewTicker(s.timing.Recheck)
	defer tick.Stop()
	var expired <-chan time.Time
	if !caller.ExpiresAt.IsZero() {
		timer := time.NewTimer(time.Until(caller.ExpiresAt))
		defer timer.Stop()
		expired = timer.C
	}
	for {
		select {
		case <-tick.C:
		case <-expired:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := s.recheck(ctx, caller, tenantID); err != nil {
			return err
		}
	}
}

// recheck returns why the caller must not read the tenant's messages any
// longer, or nil.
func (s *streamController) recheck(ctx context.Context, caller domain.Principal, tenantID uuid.UUID) error {
	now, err := s.auth.Recheck(ctx, caller)
	if err != nil {
		return lost(err, domain.ErrUnauthenticated)
	}
	if err := now.Permit(domain.RoleViewer, domain.ScopeRead); err != nil {
		return err //nolint:wrapcheck // says what is missing
	}
	tenant, err := s.tenants.Lookup(ctx, tenantID)
	if err == nil && (tenant.Gone() || !now.MayAccess(&tenant)) {
		err = domain.TenantNotFound()
	}
	return lost(err, domain.ErrNotFound)
}

// lost returns err when it says that something is gone, and nil when it only
// says that this cannot be found out.
func lost(err error, gone domain.Kind) error {
	if errors.Is(err, gone) {
		return err
	}
	return nil
}
