package controller

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

var (
	tenantID  = uuid.MustParse("0197a3a2-7d2c-7c3e-8f7e-0242ac120002")
	otherID   = uuid.MustParse("0197a3a2-7d2c-7c3e-8f7e-0242ac12000f")
	userID    = uuid.MustParse("0197a3a2-0000-7000-8000-000000000001")
	messageID = uuid.MustParse("0197a3a3-11d2-7a51-9a3e-0242ac120003")
	someTime  = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
)

func someTenant() domain.Tenant {
	return domain.Tenant{
		ID: tenantID, Name: "Acme", Status: domain.TenantActive, Workers: 3,
		OwnerID: userID, CreatedAt: someTime, UpdatedAt: someTime,
	}
}

func someUser() domain.User {
	return domain.User{ID: userID, Name: "Ada", Email: "ada@example.com", Role: domain.RoleMember, PasswordHash: "secret hash", CreatedAt: someTime}
}

// fakeAuth takes a role for a token: the caller owns the tenant of
// someTenant. "lodger" is a viewer who belongs to it, "stranger" a member who
// has nothing. The name of a scope is a key of the owner's with that scope.
type fakeAuth struct{ open bool }

func (f fakeAuth) Authenticate(_ context.Context, header string) (domain.Principal, error) {
	switch token := strings.TrimPrefix(header, "Bearer "); token {
	case "admin", "member", "viewer":
		return domain.Principal{UserID: userID, Role: domain.Role(token)}, nil
	case "lodger":
		return domain.Principal{UserID: otherID, Role: domain.RoleViewer, TenantID: tenantID}, nil
	case "stranger":
		return domain.Principal{UserID: otherID, Role: domain.RoleMember}, nil
	case "publish", "read", "manage", "provision":
		return domain.Principal{UserID: userID, Role: domain.RoleMember, KeyID: keyID, Scopes: domain.ScopesNamed([]string{token})}, nil
	case "link-read", "link-publish", "link-manage": // a portal link of the owner's with that scope
		scope := domain.ScopesNamed([]string{strings.TrimPrefix(token, "link-")})
		return domain.Principal{UserID: userID, Role: domain.RoleMember, LinkID: linkID, KeyTenant: tenantID, Scopes: scope, ExpiresAt: someTime}, nil
	case "narrow": // a key of the tenant whose owner is a viewer by now
		return domain.Principal{UserID: userID, Role: domain.RoleViewer, KeyID: keyID, KeyTenant: tenantID, Scopes: ^domain.Scopes(0)}, nil
	case "":
		if f.open {
			return domain.Principal{Role: domain.RoleAdmin}, nil
		}
	}
	return domain.Principal{}, domain.New(domain.ErrUnauthenticated, "token_invalid", "The token is not valid.")
}

func (fakeAuth) Recheck(_ context.Context, p domain.Principal) (domain.Principal, error) {
	return p, nil
}

// fakeServices answers every call, and records what it was called with. An
// err is the answer to all of them.
type fakeServices struct {
	mu  sync.Mutex
	err error

	tenant   domain.Tenant
	replayed bool
	made     bool
	page     domain.HistoryPage
	more     bool
	publish  func([]domain.Submission) []domain.Receipt
	admit    error

	submissions   []domain.Submission
	newTenant     domain.NewTenant
	key           domain.IdempotencyKey
	tenantChange  domain.TenantChange
	externalID    string
	userChange    domain.UserChange
	passwords     [3]string // current, next, and where they came from
	tenantQuery   domain.TenantQuery
	historyQuery  domain.HistoryQuery
	parts         []domain.HistoryPage // before page
	partErr       error                // after them
	workers       int
	newKey        domain.NewAPIKey
	keyTenant     uuid.UUID
	revoked       uuid.UUID
	consumer      domain.ConsumerStatus
	overviewQuery domain.OverviewQuery

	letters     []domain.DeadLetter
	letterQuery domain.DeadLetterQuery
	lastLetter  int64
	groups      domain.DeadLetterGroups
	failures    domain.DeadLetterFailures
	letterShape string
	job         *domain.DeadLetterJob
	selection   domain.DeadLetterSelection
	calls       int
}

func newFakes() *fakeServices {
	return &fakeServices{tenant: someTenant(), consumer: someConsumer()}
}

// record runs fn under the lock and returns the error to answer with.
func (f *fakeServices) record(fn func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	fn()
	return f.err
}

func (f *fakeServices) called() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func (f *fakeServices) Login(_ context.Context, _, _, _ string) (domain.Grant, error) {
	err := f.record(func() {})
	return domain.Grant{Token: "token", ExpiresAt: someTime, User: someUser()}, err
}

func (f *fakeServices) Lookup(_ context.Context, id uuid.UUID) (domain.Tenant, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if id != f.tenant.ID {
		return domain.Tenant{}, domain.TenantNotFound()
	}
	return f.tenant, nil
}

func (f *fakeServices) LookupExternal(_ context.Context, p domain.Principal, externalID string) (domain.Tenant, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if externalID != f.tenant.ExternalID || !p.MayAccess(&f.tenant) {
		return domain.Tenant{}, domain.TenantNotFound()
	}
	return f.tenant, nil
}

// fakeUsers, fakeTenants and fakeMessages give fakeServices the methods whose
// names would clash.
type (
	fakeUsers    struct{ *fakeServices }
	fakeTenants  struct{ *fakeServices }
	fakeMessages struct{ *fakeServices }

	fakeConsumers struct{ *fakeServices }
	fakeLetters   struct{ *fakeServices }
)

func (f fakeUsers) CreateUser(_ context.Context, change domain.UserChange) (domain.User, error) {
	err := f.record(func() { f.userChange = change })
	return someUser(), err
}

func (f fakeUsers) GetUser(context.Context, uuid.UUID) (domain.User, error) {
	return someUser(), f.record(func() {})
}

func (f fakeUsers) ListUsers(context.Context, uuid.UUID, int) ([]domain.User, bool, error) {
	return []domain.User{someUser()}, f.more, f.record(func() {})
}

func (f fakeUsers) ChangeUser(_ context.Context, _ domain.Principal, _ uuid.UUID, change domain.UserChange) (domain.User, error) {
	err := f.record(func() { f.userChange = change })
	return someUser(), err
}

func (f fakeUsers) DeleteUser(context.Context, domain.Principal, uuid.UUID) error {
	return f.record(func() {})
}

func (f fakeTenants) Create(_ context.Context, _ domain.Principal, n domain.NewTenant, key domain.IdempotencyKey) (domain.Tenant, bool, error) {
	err := f.record(func() { f.newTenant, f.key = n, key })
	if err == nil {
		_, err = n.Build(userID, 3, someTime)
	}
	return f.tenant, f.replayed, err
}

func (f fakeTenants) Put(_ context.Context, _ domain.Principal, externalID string, n domain.NewTenant, c domain.TenantChange) (domain.Tenant, bool, error) {
	err := f.record(func() { f.newTenant, f.tenantChange, f.externalID = n, c, externalID })
	return f.tenant, f.made, err
}

func (f fakeTenants) Get(context.Context, domain.Principal, uuid.UUID) (domain.Tenant, error) {
	return f.tenant, f.record(func() {})
}

func (f fakeTenants) List(_ context.Context, _ domain.Principal, q domain.TenantQuery) ([]domain.Tenant, bool, error) {
	err := f.record(func() { f.tenantQuery = q })
	if q.After != uuid.Nil {
		return nil, false, err
	}
	return []domain.Tenant{f.tenant}, f.more, err
}

func (f fakeTenants) Change(_ context.Context, _ domain.Principal, _ uuid.UUID, change domain.TenantChange) (domain.Tenant, error) {
	err := f.record(func() { f.tenantChange = change })
	t := f.tenant
	if err == nil {
		err = change.Apply(&t)
	}
	return t, err
}

func (f fakeTenants) SetWorkers(_ context.Context, _ domain.Principal, _ uuid.UUID, n int) (domain.Tenant, error) {
	err := f.record(func() { f.workers = n })
	t := f.tenant
	if err == nil {
		err = t.SetWorkers(n)
	}
	return t, err
}

func (f fakeTenants) Delete(context.Context, domain.Principal, uuid.UUID) (domain.Tenant, error) {
	return f.tenant, f.record(func() {})
}

func (f fakeMessages) Admit(_ context.Context, t domain.Tenant) error {
	if f.admit != nil {
		return f.admit
	}
	return t.AcceptsMessages()
}

func (f fakeMessages) Publish(_ context.Context, t domain.Tenant, submissions []domain.Submission) []domain.Receipt {
	err := f.record(func() { f.submissions = append(f.submissions, submissions...) })
	if err == nil {
		err = t.AcceptsMessages()
	}
	if f.publish != nil && err == nil {
		return f.publish(submissions)
	}
	receipts := make([]domain.Receipt, len(submissions))
	for i := range receipts {
		receipts[i] = domain.Receipt{ID: messageID, Replayed: f.replayed, Err: err}
	}
	return receipts
}

func (f fakeMessages) History(_ context.Context, q domain.HistoryQuery, take func(domain.HistoryPage, bool) error) error {
	if err := f.record(func() { f.historyQuery = q }); err != nil {
		return err
	}
	for _, part := range f.parts {
		if err := take(part, false); err != nil {
			return err
		}
	}
	if f.partErr != nil {
		return f.partErr
	}
	page := f.page
	page.Messages = slices.Clone(page.Messages)
	for i := range page.Messages {
		page.Messages[i].Payload = slices.Clone(page.Messages[i].Payload)
	}
	return take(page, true)
}

func (f fakeMessages) Get(_ context.Context, _ domain.Tenant, _ uuid.UUID, take func(domain.Message) error) error {
	if err := f.record(func() {}); err != nil {
		return err
	}
	m := domain.Message{ID: messageID, TenantID: tenantID, Seq: 1, Payload: []byte(`{"text":"<hello> & 1.0"}`), CreatedAt: someTime}
	return take(m)
}

func (f fakeLetters) List(_ context.Context, q domain.DeadLetterQuery, take func(domain.DeadLetterPage, bool) error) error {
	if err := f.record(func() { f.letterQuery = q }); err != nil {
		return err
	}
	letters := slices.Clone(f.letters)
	for i := range letters {
		letters[i].Body = slices.Clone(letters[i].Body)
	}
	return take(domain.DeadLetterPage{Letters: letters, More: f.more, Last: f.lastLetter}, true)
}

func (f fakeLetters) Get(_ context.Context, _ uuid.UUID, seq int64, take func(domain.DeadLetter) error) error {
	if err := f.record(func() {}); err != nil {
		return err
	}
	if seq == 18 {
		return domain.DeadLetterNotFound()
	}
	for _, l := range f.letters {
		if l.Seq == seq {
			l.Body = slices.Clone(l.Body)
			return take(l)
		}
	}
	return take(domain.DeadLetter{Seq: seq, TenantID: tenantID, Reason: domain.ReasonUnknown, CreatedAt: someTime})
}

func (f fakeLetters) Groups(_ context.Context, q domain.DeadLetterQuery) (domain.DeadLetterGroups, error) {
	err := f.record(func() { f.letterQuery = q })
	return f.groups, err
}

func (f fakeLetters) Replay(_ context.Context, t domain.Tenant, s domain.DeadLetterSelection) (domain.ReplayResult, error) {
	err := f.record(func() { f.selection = s })
	if err == nil {
		err = t.AcceptsMessages()
	}
	if f.job != nil {
		return domain.ReplayResult{Job: f.job}, err
	}
	return domain.ReplayResult{Replayed: 2, Skipped: 1}, err
}

func (f fakeLetters) Delete(_ context.Context, _ uuid.UUID, s domain.DeadLetterSelection) (domain.DeleteResult, error) {
	err := f.record(func() { f.selection = s })
	if f.job != nil {
		return domain.DeleteResult{Job: f.job}, err
	}
	return domain.DeleteResult{Deleted: 3}, err
}

func (f fakeLetters) Failures(_ context.Context, q domain.DeadLetterQuery, shape string) (domain.DeadLetterFailures, error) {
	err := f.record(func() { f.letterQuery, f.letterShape = q, shape })
	return f.failures, err
}

func (f fakeLetters) Jobs(context.Context, uuid.UUID) ([]domain.DeadLetterJob, error) {
	err := f.record(func() {})
	return []domain.DeadLetterJob{someJob()}, err
}

func (f fakeLetters) Job(_ context.Context, _, id uuid.UUID) (domain.DeadLetterJob, error) {
	err := f.record(func() {})
	if id == messageID {
		return domain.DeadLetterJob{}, domain.DeadLetterJobNotFound()
	}
	return someJob(), err
}

func (f fakeLetters) CancelJob(ctx context.Context, tenantID, id uuid.UUID) (domain.DeadLetterJob, error) {
	job, err := f.Job(ctx, tenantID, id)
	job.State, job.EndedAt = domain.DeadLetterJobCanceled, someTime
	return job, err
}

func someJob() domain.DeadLetterJob {
	return domain.DeadLetterJob{
		ID: otherID, TenantID: tenantID, Action: domain.ReplayDeadLetters, State: domain.DeadLetterJobRunning, Total: 1001, Done: 7, Skipped: 1,
		WaitsFor: "It waits.", CreatedAt: someTime,
	}
}

type fakeUsage struct{ *fakeServices }

func (f fakeUsage) List(_ context.Context, _ domain.Principal, q domain.UsageQuery) ([]domain.UsageDay, bool, error) {
	err := f.record(func() {})
	return []domain.UsageDay{{TenantID: tenantID, Day: q.To, Messages: 3, Bytes: 40}}, false, err
}

type fakeAudit struct{ *fakeServices }

func (f fakeAudit) List(context.Context, domain.Principal, domain.AuditQuery) ([]domain.AuditEntry, bool, error) {
	err := f.record(func() {})
	return []domain.AuditEntry{{
		ID: 17, At: someTime, Actor: domain.Actor{Kind: domain.ActorUser, UserID: userID, Address: "127.0.0.1"},
		Action: domain.AuditTenantWorkers, TenantID: tenantID, Before: domain.Facts{"workers": 1}, After: domain.Facts{"workers": 2},
	}}, false, err
}

func (f fakeUsage) Has(context.Context, domain.Principal) (domain.Limits, domain.OwnerUse, error) {
	return domain.Limits{Tenants: 1000}, domain.OwnerUse{Tenants: 3, Created: 1, Workers: 9}, f.record(func() {})
}

type fakeExplain struct{ *fakeServices }

func (f fakeExplain) Tenant(context.Context, domain.Principal, uuid.UUID) (domain.Explanation, error) {
	err := f.record(func() {})
	return domain.Explanation{At: someTime, Flows: true, Sentence: "Flows.", Backlog: -1, Rate: -1}, err
}

func (f fakeExplain) Message(_ context.Context, _ domain.Principal, _ domain.Tenant, id uuid.UUID) domain.Explanation {
	_ = f.record(func() {})
	return domain.Explanation{At: someTime, Sentence: "Stored.", Message: &domain.ExplainedMessage{ID: id, State: domain.MessageStored, Seq: 1, StoredAt: someTime}}
}
