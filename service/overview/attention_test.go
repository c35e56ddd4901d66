package overview

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/digits"
)

// attention returns what a caller should look at in a world, as it is at this moment.
func (w *world) attention(p domain.Principal) []domain.Attention {
	w.t.Helper()
	return overviewOf(w.t, New(w.options), p).Attention
}

// the returns the only thing of its kind.
func the(t *testing.T, kind domain.AttentionKind, all []domain.Attention) domain.Attention {
	t.Helper()
	var found []domain.Attention
	for _, a := range all {
		if a.Kind == kind {
			found = append(found, a)
		}
	}
	require.Len(t, found, 1, "%s: %+v", kind, all)
	return found[0]
}

// Each thing that should be looked at is a sentence with its numbers, and a call that
// helps; what most messages wait for comes first.
func TestAttention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	named := func(name string, change func(*domain.TenantSight)) uuid.UUID {
		return w.add(func(s *domain.TenantSight) { s.Name = name; change(s) })
	}
	user := uuid.New()
	stopped := named("Acme", func(s *domain.TenantSight) { s.Stopped, s.Consumer, s.Backlog = true, "", 1240 })
	byHand := named("Boss", func(s *domain.TenantSight) { s.Stopped, s.Consumer, s.Backlog = true, "", 1 })
	named("idle and stopped", func(s *domain.TenantSight) { s.Stopped, s.Consumer, s.Backlog = true, "", 0 })
	inactive := named("Inc", func(s *domain.TenantSight) { s.Status, s.Consumer, s.Backlog = domain.TenantInactive, "", 12 })
	named("idle and inactive", func(s *domain.TenantSight) { s.Status, s.Consumer = domain.TenantInactive, "" })
	lost := named("Lost", func(s *domain.TenantSight) { s.Consumer, s.Backlog = "", -1 })
	named("just made", func(s *domain.TenantSight) { s.Consumer, s.UpdatedAt = "", time.Now() })
	failed := named("Gap", func(s *domain.TenantSight) { s.Consumer, s.Since = domain.ConsumerFailed, ago(3*time.Minute) })
	waiting := named("Wait", func(s *domain.TenantSight) {
		s.Consumer, s.Since, s.Backlog = domain.ConsumerWaitingForStore, ago(12*time.Second), 70
	})
	away := named("Away", func(s *domain.TenantSight) { s.Consumer, s.Since = domain.ConsumerReconnecting, ago(31*time.Second) })
	named("back soon", func(s *domain.TenantSight) { s.Consumer, s.Since = domain.ConsumerReconnecting, ago(3*time.Second) })
	slow := named("Slow", func(s *domain.TenantSight) { s.Backlog, s.OldestAt, s.Busy = 5000, ago(4*time.Minute), 3 })
	idle := named("Lazy", func(s *domain.TenantSight) { s.Backlog, s.OldestAt, s.Busy = 4000, ago(4*time.Minute), 1 })
	busy := named("Busy", func(s *domain.TenantSight) { s.Backlog, s.OldestAt = 4000, ago(time.Second) })
	full := named("Full", func(s *domain.TenantSight) { s.Backlog = 8000 })
	w.sight.Halts = []domain.Halt{
		{TenantID: stopped, Action: domain.AuditConsumerStop, At: ago(2*time.Hour + time.Minute), Actor: domain.Actor{Kind: domain.ActorUser, UserID: user}, Name: "ops@example.com"},
		{TenantID: inactive, Action: domain.AuditTenantChange, At: ago(3*24*time.Hour + time.Minute), Actor: domain.Actor{Kind: domain.ActorKey, UserID: user, KeyID: user}, Name: "ops@example.com"},
	}
	hooked := named("Hook", func(s *domain.TenantSight) { s.Endpoints = domain.EndpointCounts{Total: 4} })
	ends := []uuid.UUID{uuid.New(), uuid.New(), uuid.New(), uuid.New()}
	w.sight.Endpoints = []domain.EndpointSight{
		{TenantID: hooked, ID: ends[0], Name: "orders", Status: domain.EndpointActive, BreakerOpenedAt: ago(12*time.Minute + time.Second), Lag: 312},
		{TenantID: hooked, ID: ends[1], Name: "gone", Status: domain.EndpointDisabled, Reason: "It answered 410.", Lag: 9},
		{TenantID: hooked, ID: ends[2], Name: "paused", Status: domain.EndpointHeld, Lag: 1},
		{TenantID: hooked, ID: ends[3], Name: "paused and up to date", Status: domain.EndpointHeld},
	}
	w.sight.Letters = []domain.FreshLetters{{TenantID: busy, Count: 2, FirstAt: ago(50 * time.Minute), LastAt: ago(5*time.Minute + time.Second)}}
	w.options.MaxBacklog = 10_000

	all := w.attention(admin())
	for i := 1; i < len(all); i++ {
		require.GreaterOrEqual(t, all[i-1].Messages, all[i].Messages)
	}
	sentences := make(map[string]domain.Attention)
	for _, a := range all {
		sentences[a.Sentence] = a
	}
	for sentence, c := range map[string]struct {
		kind     domain.AttentionKind
		tenant   uuid.UUID
		messages int64
		call     string
	}{
		"Acme's consumer was stopped by ops@example.com 2 h ago; 1,240 messages wait.": {domain.AttentionStopped, stopped, 1240, "POST /consumers/" + stopped.String()},
		"Boss' consumer is stopped; 1 message waits.":                                  {domain.AttentionStopped, byHand, 1, "POST /consumers/" + byHand.String()},
		"Inc was made inactive by ops@example.com with an API key 3 days ago; 12 messages wait in its queue.": {
			domain.AttentionInactive, inactive, 12, "PATCH /tenants/" + inactive.String(),
		},
		"No replica runs Lost's consumer.":                                               {domain.AttentionNoConsumer, lost, 0, "POST /consumers/" + lost.String()},
		"Gap's queue is missing, so its consumer has failed for 3 min.":                  {domain.AttentionFailed, failed, 0, "POST /consumers/" + failed.String()},
		"Wait's messages have waited for the database for 12 s; 70 messages wait.":       {domain.AttentionStore, waiting, 70, ""},
		"Away's consumer has had no subscription for 31 s.":                              {domain.AttentionNoSubscription, away, 0, ""},
		"5,000 messages wait for Slow, the oldest for 4 min; 3 of 3 workers are busy.":   {domain.AttentionBacklog, slow, 5000, "PUT /tenants/" + slow.String() + "/config/concurrency"},
		"4,000 messages wait for Lazy, the oldest for 4 min; 1 of 3 workers are busy.":   {domain.AttentionBacklog, idle, 4000, ""},
		"Full's queue has 8,000 of at most 10,000; beyond that publishing is refused.":   {domain.AttentionNearLimit, full, 8000, ""},
		"Hook's endpoint orders has failed for 12 min; 312 messages wait for it.":        {domain.AttentionBreaker, hooked, 312, "POST /tenants/" + hooked.String() + "/endpoints/" + ends[0].String() + "/test"},
		"Hook's endpoint gone is disabled (It answered 410); 9 messages wait for it.":    {domain.AttentionDisabled, hooked, 9, "POST /tenants/" + hooked.String() + "/endpoints/" + ends[1].String() + "/resume"},
		"Hook's endpoint paused is held; 1 message waits for it.":                        {domain.AttentionHeld, hooked, 1, "POST /tenants/" + hooked.String() + "/endpoints/" + ends[2].String() + "/resume"},
		"2 messages of Busy became dead letters in the last hour, the latest 5 min ago.": {domain.AttentionLetters, busy, 2, "GET /dead-letters/groups?tenant_id=" + busy.String()},
	} {
		got, there := sentences[sentence]
		require.True(t, there, "%s\nis not among\n%+v", sentence, sentences)
		require.Equal(t, []any{c.kind, c.tenant, c.messages}, []any{got.Kind, got.TenantID, got.Messages}, sentence)
		call := ""
		if got.Action != nil {
			call = got.Action.Method + " " + got.Action.Path
			require.NotEmpty(t, got.Action.Label)
		}
		require.Equal(t, c.call, call, sentence)
		delete(sentences, sentence)
	}
	require.Empty(t, sentences, "nothing else needs attention")
	require.Equal(t, ends[0], the(t, domain.AttentionBreaker, all).EndpointID)
	require.Equal(t, map[string]any{"status": "active"}, the(t, domain.AttentionInactive, all).Action.Body)
	require.Equal(t, map[string]any{"workers": 6}, sentenceOf(all, slow).Action.Body)
}

func sentenceOf(all []domain.Attention, tenant uuid.UUID) domain.Attention {
	for _, a := range all {
		if a.TenantID == tenant {
			return a
		}
	}
	return domain.Attention{}
}

// Nobody learns who it was that does not know already, and nobody is offered what he may
// not do.
func TestWhoStoppedIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	owner, operator := uuid.New(), uuid.New()
	id := w.add(func(s *domain.TenantSight) { s.Stopped, s.Consumer, s.Backlog, s.OwnerID = true, "", 7, owner })
	viewer := domain.Principal{UserID: uuid.New(), Role: domain.RoleViewer, TenantID: id}
	ofOwner := domain.Principal{UserID: owner, Role: domain.RoleMember}
	ofKey := func(scopes domain.Scopes) domain.Principal {
		return domain.Principal{UserID: owner, Role: domain.RoleMember, KeyID: uuid.New(), Scopes: scopes}
	}
	for _, c := range []struct {
		actor  domain.Actor
		name   string
		caller domain.Principal
		by     string
	}{
		{domain.Actor{Kind: domain.ActorUser, UserID: operator}, "ops@example.com", admin(), "ops@example.com"},
		{domain.Actor{Kind: domain.ActorUser, UserID: operator}, "", admin(), "a user who is gone"},
		{domain.Actor{Kind: domain.ActorUser, UserID: operator}, "ops@example.com", domain.Principal{UserID: operator, Role: domain.RoleAdmin}, "you"},
		{domain.Actor{Kind: domain.ActorUser, UserID: operator}, "ops@example.com", ofOwner, "an admin"},
		{domain.Actor{Kind: domain.ActorKey, UserID: owner}, "ada@example.com", ofOwner, "you with an API key"},
		{domain.Actor{Kind: domain.ActorUser, UserID: owner}, "ada@example.com", viewer, "its owner"},
		{domain.Actor{Kind: domain.ActorOpen}, "", admin(), "an admin"},
		{domain.Actor{Kind: domain.ActorCommand}, "", viewer, "a command"},
		{domain.Actor{Kind: domain.ActorUser, UserID: owner}, "ada@example.com", ofKey(domain.ScopeRead), "you"},
		{domain.Actor{Kind: domain.ActorUser, UserID: owner}, "ada@example.com", ofKey(domain.ScopeRead | domain.ScopeManage), "you"},
	} {
		w.sight.Halts = []domain.Halt{{TenantID: id, Action: domain.AuditConsumerStop, At: time.Now().Add(-90 * time.Second), Actor: c.actor, Name: c.name}}
		got := the(t, domain.AttentionStopped, w.attention(c.caller))
		require.Equal(t, "Acme's consumer was stopped by "+c.by+" 90 s ago; 7 messages wait.", got.Sentence)
		mayStart := c.caller.Role != domain.RoleViewer && (!c.caller.ByKey() || c.caller.Scopes.Covers(domain.ScopeManage))
		require.Equal(t, mayStart, got.Action != nil)
		require.WithinDuration(t, time.Now().Add(-90*time.Second), got.Since, 5*time.Second)
	}
}

// Owners near a limit are told, and admins of all of them.
func TestAttentionToQuotas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada, bob, root, free := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	few := 10
	w.options.Limits = domain.Limits{Tenants: 100, Workers: 1000}
	w.sight.Owners = []domain.OwnerSight{
		{ID: ada, Email: "ada@example.com", Use: domain.OwnerUse{Role: domain.RoleMember, Tenants: 80, Workers: 799}},
		{ID: bob, Email: "bob@example.com", Use: domain.OwnerUse{Role: domain.RoleMember, Limits: domain.UserLimits{Workers: &few}, Tenants: 79, Workers: 9}},
		{ID: root, Email: "root@example.com", Use: domain.OwnerUse{Role: domain.RoleAdmin, Tenants: 5000, Workers: 50_000}},
		{ID: free, Email: "free@example.com", Use: domain.OwnerUse{Role: domain.RoleMember, Limits: domain.UserLimits{Tenants: new(int), Workers: new(int)}, Tenants: 5000}},
	}
	sentences := func(p domain.Principal) string {
		var all []string
		for _, a := range w.attention(p) {
			require.Equal(t, domain.AttentionQuota, a.Kind)
			require.Zero(t, a.TenantID)
			all = append(all, a.Sentence)
		}
		return strings.Join(all, " ")
	}
	require.Equal(t, "ada@example.com has 80 of at most 100 tenants. bob@example.com has 9 of at most 10 workers.", sentences(admin()))
	require.Equal(t, "You have 80 of at most 100 tenants.", sentences(domain.Principal{UserID: ada, Role: domain.RoleMember}))
	require.Empty(t, sentences(domain.Principal{UserID: ada, Role: domain.RoleMember, KeyID: uuid.New(), KeyTenant: uuid.New()}), "a key of a tenant")
	require.Empty(t, sentences(domain.Principal{UserID: free, Role: domain.RoleMember}))
}

// No more is shown than people can read, and it is what most messages wait for.
func TestAttentionIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 3 * domain.MaxAttention {
		w.add(func(s *domain.TenantSight) { s.Stopped, s.Consumer, s.Backlog = true, "", int64(1+i) })
	}
	all := w.attention(admin())
	require.Len(t, all, domain.MaxAttention)
	require.EqualValues(t, 3*domain.MaxAttention, all[0].Messages)
	require.EqualValues(t, 2*domain.MaxAttention+1, all[len(all)-1].Messages)
}

func TestWords(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -999: "-999"} {
		require.Equal(t, want, digits.Grouped(n))
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 0: "0 s", 119 * time.Second: "119 s", 2 * time.Minute: "2 min", 119 * time.Minute: "119 min", 2 * time.Hour: "2 h",
		47 * time.Hour: "47 h", 48 * time.Hour: "2 days", 1000 * time.Hour: "41 days",
	} {
		require.Equal(t, want, span(d))
	}
}
