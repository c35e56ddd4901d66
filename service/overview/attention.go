package overview

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/digits"
)

const (
	// endpointsPerTenant is how many endpoints of a tenant are named, lettersPerTenant how
	// many of its dead letters are looked at, and movesShown how many moves are shown.
	endpointsPerTenant = 5
	lettersPerTenant   = 1000
	movesShown         = 100
	// lettersFreshFor is for how long a dead letter is a new one.
	lettersFreshFor = time.Hour
	// nearPercent is how much of a limit is nearly all of it.
	nearPercent = 80
	// unsubscribedFor is for how long a consumer may have no subscription.
	unsubscribedFor = 30 * time.Second
)

// adviser says what a caller should look at.
type adviser struct {
	caller  domain.Principal
	options *Options
	now     time.Time
	tenants []*domain.TenantOverview
	// seen are the tenants by their ids, where something is to be said of what they have.
	seen      map[uuid.UUID]*domain.TenantOverview
	halts     map[uuid.UUID]*domain.Halt
	sight     *domain.FleetSight
	attention []domain.Attention
}

func newAdviser(p domain.Principal, s *snapshot, tenants []*domain.TenantOverview, o *Options) *adviser {
	a := &adviser{
		caller: p, options: o, now: s.sight.At, tenants: tenants, sight: &s.sight,
		seen: make(map[uuid.UUID]*domain.TenantOverview, len(tenants)), halts: make(map[uuid.UUID]*domain.Halt, len(s.sight.Halts)),
	}
	for _, t := range tenants {
		a.seen[t.ID] = t
	}
	for i := range s.sight.Halts {
		a.halts[s.sight.Halts[i].TenantID] = &s.sight.Halts[i]
	}
	return a
}

// advise returns what should be looked at: what most messages wait for comes first.
func (a *adviser) advise() []domain.Attention {
	for _, t := range a.tenants {
		a.ofConsumer(t)
		a.ofLimit(t)
	}
	for i := range a.sight.Endpoints {
		if e := &a.sight.Endpoints[i]; a.seen[e.TenantID] != nil {
			a.ofEndpoint(a.seen[e.TenantID], e)
		}
	}
	for i := range a.sight.Letters {
		if l := &a.sight.Letters[i]; a.seen[l.TenantID] != nil {
			a.ofLetters(a.seen[l.TenantID], l)
		}
	}
	for i := range a.sight.Owners {
		if o := &a.sight.Owners[i]; a.caller.IsAdmin() || a.caller.UserID == o.ID && a.caller.KeyTenant == uuid.Nil {
			a.ofOwner(o)
		}
	}
	slices.SortStableFunc(a.attention, func(x, y domain.Attention) int {
		return cmp.Or(cmp.Compare(y.Messages, x.Messages), bytes.Compare(x.TenantID[:], y.TenantID[:]))
	})
	return a.attention[:min(len(a.attention), domain.MaxAttention)]
}

// say adds something about a tenant.
func (a *adviser) say(t *domain.TenantOverview, kind domain.AttentionKind, messages int64, since time.Time, action *domain.Action, format string, args ...any) {
	if action != nil && action.Method != http.MethodGet && !a.mayManage(t) {
		action = nil
	}
	a.attention = append(a.attention, domain.Attention{
		Kind: kind, TenantID: t.ID, TenantName: t.Name, Sentence: fmt.Sprintf(format, args...), Messages: messages, Since: since, Action: action,
	})
}

// mayManage reports whether the caller may change a tenant and what it has.
func (a *adviser) mayManage(t *domain.TenantOverview) bool {
	return a.caller.MayManage(&t.Tenant) && (!a.caller.ByKey() || a.caller.Scopes.Covers(domain.ScopeManage))
}

// ofConsumer says what keeps a tenant's messages from being stored.
func (a *adviser) ofConsumer(t *domain.TenantOverview) {
	waiting := max(0, t.Backlog)
	start := &domain.Action{Label: "Start the consumer", Method: http.MethodPost, Path: "/consumers/" + t.ID.String()}
	switch {
	case t.Status == domain.TenantInactive:
		if waiting > 0 {
			since, by := a.halt(t)
			a.say(t, domain.AttentionInactive, waiting, since, &domain.Action{
				Label: "Activate the tenant", Method: http.MethodPatch, Path: "/tenants/" + t.ID.String(), Body: map[string]any{"status": string(domain.TenantActive)},
			}, "%s %s; %s in its queue.", t.Name, cmp.Or(by.as("was made inactive"), "is inactive"), wait(waiting))
		}
	case t.Status != domain.TenantActive:
	case t.Stopped:
		if waiting > 0 {
			since, by := a.halt(t)
			a.say(t, domain.AttentionStopped, waiting, since, start, "%s consumer %s; %s.", possessive(t.Name), cmp.Or(by.as("was stopped"), "is stopped"), wait(waiting))
		}
	case t.WithoutConsumer(a.now):
		a.say(t, domain.AttentionNoConsumer, waiting, time.Time{}, start, "No replica runs %s consumer%s.", possessive(t.Name), andWait(waiting))
	case t.Consumer == domain.ConsumerFailed:
		a.say(t, domain.AttentionFailed, waiting, t.Since, start, "%s queue is missing, so its consumer has failed%s.", possessive(t.Name), a.forSince(t.Since))
	case t.Consumer == domain.ConsumerWaitingForStore:
		a.say(t, domain.AttentionStore, waiting, t.Since, nil, "%s messages have waited for the database%s%s.", possessive(t.Name), a.forSince(t.Since), andWait(waiting))
	case t.Consumer != domain.ConsumerRunning:
		if !t.Since.IsZero() && a.now.Sub(t.Since) >= unsubscribedFor {
			a.say(t, domain.AttentionNoSubscription, waiting, t.Since, nil, "%s consumer has had no subscription%s%s.", possessive(t.Name), a.forSince(t.Since), andWait(waiting))
		}
	case t.Oldest(a.now) >= domain.WaitsAfter && waiting > 0:
		a.say(t, domain.AttentionBacklog, waiting, t.OldestAt, moreWorkers(t), "%s for %s, the oldest for %s; %d of %d workers are busy.",
			wait(waiting), t.Name, span(t.Oldest(a.now)), t.Busy, t.Workers)
	}
}

// moreWorkers is what helps when all workers are busy.
func moreWorkers(t *domain.TenantOverview) *domain.Action {
	more := min(2*t.Workers, domain.MaxWorkers)
	if t.Busy < t.Workers || more == t.Workers {
		return nil
	}
	return &domain.Action{
		Label: fmt.Sprintf("Use %d workers", more), Method: http.MethodPut, Path: "/tenants/" + t.ID.String() + "/config/concurrency",
		Body: map[string]any{"workers": more},
	}
}

// ofLimit says that publishing to a tenant is refused soon, or already.
func (a *adviser) ofLimit(t *domain.TenantOverview) {
	if limit := a.options.MaxBacklog; limit > 0 && t.Backlog*100 >= limit*nearPercent {
		a.say(t, domain.AttentionNearLimit, t.Backlog, time.Time{}, nil, "%s queue has %s of at most %s; beyond that publishing is refused.",
			possessive(t.Name), digits.Grouped(t.Backlog), digits.Grouped(limit))
	}
}

// ofEndpoint says why an endpoint does not get what it should.
func (a *adviser) ofEndpoint(t *domain.TenantOverview, e *domain.EndpointSight) {
	path := "/tenants/" + e.TenantID.String() + "/endpoints/" + e.ID.String()
	resume := &domain.Action{Label: "Resume the endpoint", Method: http.MethodPost, Path: path + "/resume"}
	before := len(a.attention)
	switch {
	case t.Gone():
	case e.Status == domain.EndpointDisabled:
		a.say(t, domain.AttentionDisabled, e.Lag, time.Time{}, resume, "%s endpoint %s is disabled%s; %s for it.", possessive(t.Name), e.Name, because(e.Reason), wait(e.Lag))
	case e.Status == domain.EndpointHeld:
		if e.Lag > 0 {
			a.say(t, domain.AttentionHeld, e.Lag, time.Time{}, resume, "%s endpoint %s is held; %s for it.", possessive(t.Name), e.Name, wait(e.Lag))
		}
	default:
		a.say(t, domain.AttentionBreaker, e.Lag, e.BreakerOpenedAt, &domain.Action{Label: "Test the endpoint", Method: http.MethodPost, Path: path + "/test"},
			"%s endpoint %s has failed%s; %s for it.", possessive(t.Name), e.Name, a.forSince(e.BreakerOpenedAt), wait(e.Lag))
	}
	if len(a.attention) > before {
		a.attention[before].EndpointID = e.ID
	}
}

// ofLetters says that messages were given up of late.
func (a *adviser) ofLetters(t *domain.TenantOverview, l *domain.FreshLetters) {
	n := digits.Grouped(l.Count)
	if l.Count >= lettersPerTenant {
		n += " or more"
	}
	a.say(t, domain.AttentionLetters, l.Count, l.FirstAt, &domain.Action{
		Label: "Show them by cause", Method: http.MethodGet, Path: "/dead-letters/groups?tenant_id=" + t.ID.String(),
	}, "%s of %s became dead letters in the last hour, the latest %s ago.", plural(l.Count, n, "message"), t.Name, span(a.now.Sub(l.LastAt)))
}

// ofOwner says that an owner has nearly as much as it may have.
func (a *adviser) ofOwner(o *domain.OwnerSight) {
	own := a.options.Limits.Of(o.Use.Role, o.Use.Limits)
	for _, share := range []struct {
		what      string
		has, most int
	}{{"tenants", o.Use.Tenants, own.Tenants}, {"workers", o.Use.Workers, own.Workers}} {
		if share.most <= 0 || share.has*100 < share.most*nearPercent {
			continue
		}
		who := "You have"
		if a.caller.UserID != o.ID {
			who = o.Email + " has"
		}
		a.attention = append(a.attention, domain.Attention{
			Kind:     domain.AttentionQuota,
			Sentence: fmt.Sprintf("%s %s of at most %s %s.", who, digits.Grouped(int64(share.has)), digits.Grouped(int64(share.most)), share.what),
		})
	}
}

// halt returns since when a tenant is halted, and by whom.
func (a *adviser) halt(t *domain.TenantOverview) (since time.Time, by doer) {
	h := a.halts[t.ID]
	if h == nil {
		return time.Time{}, doer{}
	}
	by.ago = span(a.now.Sub(h.At)) + " ago"
	switch {
	case a.caller.UserID != uuid.Nil && a.caller.UserID == h.Actor.UserID:
		by.who = "you"
	case h.Actor.Kind == domain.ActorCommand:
		by.who = "a command"
	case h.Actor.UserID == uuid.Nil:
		by.who = "an admin"
	case a.caller.IsAdmin():
		by.who = cmp.Or(h.Name, "a user who is gone")
	case h.Actor.UserID == t.OwnerID:
		by.who = "its owner"
	default: // whose name is nobody's business
		by.who = "an admin"
	}
	if h.Actor.Kind == domain.ActorKey {
		by.who += " with an API key"
	}
	return h.At, by
}

// doer is who did something, and when; the zero value is nobody who is known.
type doer struct{ who, ago string }

// as returns what was done, by whom and when; "" when that is not known.
func (d doer) as(what string) string {
	if d.who == "" {
		return ""
	}
	return what + " by " + d.who + " " + d.ago
}

// forSince returns for how long something is so, or "".
func (a *adviser) forSince(since time.Time) string {
	if since.IsZero() {
		return ""
	}
	return " for " + span(a.now.Sub(since))
}
