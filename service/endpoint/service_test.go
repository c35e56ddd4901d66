package endpoint

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/webhook"
)

func to(url string) *domain.EndpointChange { return &domain.EndpointChange{URL: domain.SetTo(url)} }

const hook = "https://example.com/hook"

// create makes an endpoint as the owner.
func create(t *testing.T, s *Service, tenant domain.Tenant, c *domain.EndpointChange) domain.Endpoint {
	t.Helper()
	r, replayed, err := s.Create(t.Context(), owner, tenant.ID, c, domain.IdempotencyKey{})
	require.NoError(t, err)
	require.False(t, replayed)
	return r.Endpoint
}

func TestCreateAndGet(t *testing.T) {
	t.Parallel()
	_, s, tenant, _ := newWorld()
	r, _, err := s.Create(t.Context(), owner, tenant.ID, to(hook), domain.IdempotencyKey{})
	require.NoError(t, err)
	require.Equal(t, hook, r.Endpoint.URL)
	require.NotEmpty(t, r.Endpoint.Secret)
	require.EqualValues(t, 5, r.Progress.Lag())
	got, err := s.Get(t.Context(), owner, tenant.ID, r.Endpoint.ID)
	require.NoError(t, err)
	require.Equal(t, r, got)
	all, err := s.List(t.Context(), owner, tenant.ID)
	require.NoError(t, err)
	require.Equal(t, []domain.EndpointReport{r}, all)

	from := to(hook)
	from.FromSeq = domain.SetTo(42)
	require.EqualValues(t, 42, create(t, s, tenant, from).Version)
	open, err := s.Delete(t.Context(), owner, tenant.ID, r.Endpoint.ID)
	require.NoError(t, err)
	require.EqualValues(t, 7, open)
}

func TestValuesAreChecked(t *testing.T) {
	t.Parallel()
	w, s, tenant, _ := newWorld()
	header := to(hook)
	header.Headers = domain.SetTo(map[string]*string{"Content-Length": new("1")})
	for _, c := range []*domain.EndpointChange{{}, to("http://127.0.0.1/"), to("ftp://a/"), header} {
		_, _, err := s.Create(t.Context(), owner, tenant.ID, c, domain.IdempotencyKey{})
		require.ErrorIs(t, err, domain.ErrInvalid)
		_, _, err = s.Upsert(t.Context(), owner, tenant.ID, "erp", c)
		require.ErrorIs(t, err, domain.ErrInvalid)
	}
	require.Empty(t, w.endpoints)
	e := create(t, w.service(true), tenant, to("http://127.0.0.1/"))
	_, err := s.Change(t.Context(), owner, tenant.ID, e.ID, to("http://10.0.0.1/"))
	require.ErrorIs(t, err, domain.ErrInvalid)
	_, err = s.Change(t.Context(), owner, tenant.ID, e.ID, &domain.EndpointChange{Rate: domain.SetTo(1)})
	require.NoError(t, err, "one that was allowed once may be changed otherwise")
}

func TestCreateWithAKey(t *testing.T) {
	t.Parallel()
	w, s, tenant, _ := newWorld()
	key := domain.IdempotencyKey{Key: "k", Hash: [32]byte{1}}
	first, replayed, err := s.Create(t.Context(), owner, tenant.ID, to(hook), key)
	require.NoError(t, err)
	require.False(t, replayed)
	again, replayed, err := s.Create(t.Context(), owner, tenant.ID, to(hook), key)
	require.NoError(t, err)
	require.True(t, replayed)
	require.Equal(t, first, again, "with the same secret")
	w.claims["k"] = domain.IdempotencyGrant{ID: first.Endpoint.ID} // as if the first call had not come so far
	again, replayed, err = s.Create(t.Context(), owner, tenant.ID, to(hook), key)
	require.NoError(t, err)
	require.False(t, replayed)
	require.Equal(t, first, again)
	require.Len(t, w.endpoints, 1)

	key.Hash = [32]byte{2}
	_, _, err = s.Create(t.Context(), owner, tenant.ID, to(hook), key)
	require.Equal(t, "idempotency_key_reused", domain.CodeOf(err))
	require.NotEqual(t, [32]byte{1}, w.hashes["k"], "a message of the same body is something else")
	w.endpoints, key.Hash = nil, [32]byte{1}
	_, _, err = s.Create(t.Context(), owner, tenant.ID, to(hook), key)
	require.Equal(t, "endpoint_deleted", domain.CodeOf(err))
	_, _, err = s.Create(t.Context(), owner, tenant.ID, to(hook), domain.IdempotencyKey{Key: "\n"})
	require.ErrorIs(t, err, domain.ErrInvalid)
}

func TestUpsert(t *testing.T) {
	t.Parallel()
	w, s, tenant, _ := newWorld()
	full := to(hook)
	full.Rate, full.Types = domain.SetTo(5), domain.SetTo([]string{"order.*"})
	full.Headers = domain.SetTo(map[string]*string{"X-A": new("1"), "X-B": new("2")})
	first, fresh, err := s.Upsert(t.Context(), owner, tenant.ID, "erp", full)
	require.NoError(t, err)
	require.True(t, fresh)
	require.Equal(t, "erp", first.Endpoint.ExternalID)

	same, fresh, err := s.Upsert(t.Context(), owner, tenant.ID, "erp", full)
	require.NoError(t, err)
	require.False(t, fresh)
	require.Equal(t, first, same)
	require.Zero(t, w.changes, "what makes no difference changes nothing")

	less := to(hook + "2")
	less.Headers = domain.SetTo(map[string]*string{"X-A": new("***")})
	less.ExternalID, less.FromSeq = domain.SetTo("erp"), domain.SetTo(1)
	changed, fresh, err := s.Upsert(t.Context(), owner, tenant.ID, "erp", less)
	require.NoError(t, err)
	require.False(t, fresh)
	want := first.Endpoint
	want.URL, want.Rate, want.Types, want.Headers = hook+"2", 0, nil, map[string]string{"X-A": "1"}
	require.Equal(t, want, changed.Endpoint)

	less.ExternalID = domain.SetTo("other")
	_, _, err = s.Upsert(t.Context(), owner, tenant.ID, "erp", less)
	require.ErrorIs(t, err, domain.ErrInvalid)
	_, _, err = s.Upsert(t.Context(), owner, tenant.ID, "a\nb", to(hook))
	require.ErrorIs(t, err, domain.ErrInvalid)
	ahead := to(hook)
	ahead.FromSeq = domain.SetTo(1000)
	_, _, err = s.Upsert(t.Context(), owner, tenant.ID, "crm", ahead)
	require.Equal(t, "cursor_ahead", domain.CodeOf(err))
}

// Of two calls that find no endpoint one makes it, and the other changes it.
func TestUpsertMeetsAnother(t *testing.T) {
	t.Parallel()
	w, s, tenant, _ := newWorld()
	w.beforeInsert = func() {
		w.beforeInsert = nil
		_, fresh, err := s.Upsert(t.Context(), owner, tenant.ID, "erp", to(hook))
		require.NoError(t, err)
		require.True(t, fresh)
	}
	r, fresh, err := s.Upsert(t.Context(), owner, tenant.ID, "erp", to(hook+"2"))
	require.NoError(t, err)
	require.False(t, fresh)
	require.Equal(t, hook+"2", r.Endpoint.URL)
	require.Len(t, w.endpoints, 1)
}

// Who may not see the tenant learns nothing of it, and who may not manage it changes
// nothing.
func TestAccess(t *testing.T) {
	t.Parallel()
	w, s, tenant, lodger := newWorld()
	e := create(t, s, tenant, to(hook))
	reads := map[string]func(p domain.Principal) error{
		"Get":  func(p domain.Principal) error { _, err := s.Get(t.Context(), p, tenant.ID, e.ID); return err },
		"List": func(p domain.Principal) error { _, err := s.List(t.Context(), p, tenant.ID); return err },
		"Attempts": func(p domain.Principal) error {
			_, _, err := w.attemptsShown().OfEndpoint(t.Context(), p, domain.AttemptQuery{TenantID: tenant.ID, EndpointID: e.ID, Limit: 1})
			return err
		},
		"AttemptSummary": func(p domain.Principal) error {
			_, err := w.attemptsShown().Summary(t.Context(), p, tenant.ID, e.ID)
			return err
		},
		"ListReplays": func(p domain.Principal) error {
			_, err := w.replays().List(t.Context(), p, tenant.ID, e.ID)
			return err
		},
	}
	none := uuid.New()
	changes := map[string]func(p domain.Principal, id uuid.UUID) error{
		"Change": func(p domain.Principal, id uuid.UUID) error {
			_, err := s.Change(t.Context(), p, tenant.ID, id, to(hook))
			return err
		},
		"Hold": func(p domain.Principal, id uuid.UUID) error {
			_, err := s.Hold(t.Context(), p, tenant.ID, id)
			return err
		},
		"Resume": func(p domain.Principal, id uuid.UUID) error {
			_, err := s.Resume(t.Context(), p, tenant.ID, id)
			return err
		},
		"Skip": func(p domain.Principal, id uuid.UUID) error {
			_, err := s.Skip(t.Context(), p, tenant.ID, id)
			return err
		},
		"Test": func(p domain.Principal, id uuid.UUID) error {
			_, err := s.Test(t.Context(), p, tenant.ID, id)
			return err
		},
		"RotateSecret": func(p domain.Principal, id uuid.UUID) error {
			_, err := s.RotateSecret(t.Context(), p, tenant.ID, id, domain.SecretRotation{})
			return err
		},
		"Replay": func(p domain.Principal, id uuid.UUID) error {
			_, err := w.replays().Start(t.Context(), p, tenant.ID, id, &domain.ReplayRequest{})
			return err
		},
		"Delete": func(p domain.Principal, id uuid.UUID) error {
			_, err := s.Delete(t.Context(), p, tenant.ID, id)
			return err
		},
	}
	adds := map[string]func(p domain.Principal) error{
		"Create": func(p domain.Principal) error {
			_, _, err := s.Create(t.Context(), p, tenant.ID, to(hook), domain.IdempotencyKey{})
			return err
		},
		"Upsert": func(p domain.Principal) error {
			_, _, err := s.Upsert(t.Context(), p, tenant.ID, "erp", to(hook))
			return err
		},
		"CancelReplay": func(p domain.Principal) error {
			_, err := w.replays().Cancel(t.Context(), p, tenant.ID, e.ID, none)
			return err
		},
	}
	for name, call := range changes {
		adds[name] = func(p domain.Principal) error { return call(p, e.ID) }
		require.Equal(t, "endpoint_not_found", domain.CodeOf(call(owner, none)), name)
	}
	for name, call := range reads {
		require.Equal(t, "tenant_not_found", domain.CodeOf(call(stranger)), name)
		require.NoError(t, call(lodger), name)
		require.NoError(t, call(admin), name)
	}
	before := w.changes
	for name, call := range adds {
		require.Equal(t, "tenant_not_found", domain.CodeOf(call(stranger)), name)
		require.ErrorIs(t, call(lodger), domain.ErrForbidden, name)
	}
	require.Equal(t, before, w.changes)
	require.Len(t, w.endpoints, 1)
	require.Empty(t, w.sent)
	require.Equal(t, "endpoint_not_found", domain.CodeOf(func() error { _, err := w.replays().List(t.Context(), owner, tenant.ID, none); return err }()))
	require.Equal(t, "endpoint_not_found", domain.CodeOf(func() error { _, err := w.attemptsShown().Summary(t.Context(), owner, tenant.ID, none); return err }()))
	require.Equal(t, "replay_not_found", domain.CodeOf(func() error { _, err := w.replays().Get(t.Context(), owner, tenant.ID, e.ID, none); return err }()))

	for status, code := range map[domain.TenantStatus]string{domain.TenantDeleting: "tenant_not_found", domain.TenantDeleted: "tenant_not_found"} {
		tenant.Status = status
		w.tenants[tenant.ID] = tenant
		for name, call := range adds {
			require.Equal(t, code, domain.CodeOf(call(owner)), name)
		}
		for name, call := range reads {
			require.Equal(t, code, domain.CodeOf(call(owner)), name)
		}
	}
	tenant.Status = domain.TenantProvisioning
	w.tenants[tenant.ID] = tenant
	require.ErrorIs(t, adds["Create"](owner), domain.ErrUnavailable)
	require.ErrorIs(t, adds["Upsert"](owner), domain.ErrUnavailable)
	require.Equal(t, "tenant_not_found", domain.CodeOf(func() error { _, err := s.List(t.Context(), admin, none); return err }()))
}

func TestHoldAndResume(t *testing.T) {
	t.Parallel()
	w, s, tenant, _ := newWorld()
	e := create(t, s, tenant, to(hook))
	for _, step := range []struct {
		call    func(context.Context, domain.Principal, uuid.UUID, uuid.UUID) (domain.EndpointReport, error)
		status  domain.EndpointStatus
		changes int
	}{{s.Hold, domain.EndpointHeld, 1}, {s.Hold, domain.EndpointHeld, 1}, {s.Resume, domain.EndpointActive, 2}, {s.Resume, domain.EndpointActive, 2}} {
		r, err := step.call(t.Context(), owner, tenant.ID, e.ID)
		require.NoError(t, err)
		require.Equal(t, step.status, r.Endpoint.Status)
		require.Equal(t, step.changes, w.changes)
	}
	w.endpoints[0].Status, w.endpoints[0].StatusReason = domain.EndpointDisabled, "the endpoint answered 410 Gone"
	_, err := s.Hold(t.Context(), owner, tenant.ID, e.ID)
	require.Equal(t, "endpoint_disabled", domain.CodeOf(err))
	r, err := s.Resume(t.Context(), owner, tenant.ID, e.ID)
	require.NoError(t, err)
	require.Equal(t, domain.EndpointActive, r.Endpoint.Status)
	require.Empty(t, r.Endpoint.StatusReason)

	w.endpoints[0].Unreadable, w.endpoints[0].Status = true, domain.EndpointDisabled
	_, err = s.Resume(t.Context(), owner, tenant.ID, e.ID)
	require.Equal(t, "endpoint_unreadable", domain.CodeOf(err))
}

func TestRotateSecret(t *testing.T) {
	t.Parallel()
	w, s, tenant, _ := newWorld()
	first := create(t, s, tenant, to(hook)).Secret
	id := w.endpoints[0].ID
	rotate := func(r domain.SecretRotation) domain.Endpoint {
		t.Helper()
		report, err := s.RotateSecret(t.Context(), owner, tenant.ID, id, r)
		require.NoError(t, err)
		return report.Endpoint
	}
	e := rotate(domain.SecretRotation{})
	require.NotEqual(t, first, e.Secret)
	require.Equal(t, first, e.OldSecret)
	require.Equal(t, w.now.Add(24*time.Hour), e.OldSecretUntil)
	second := e.Secret
	e = rotate(domain.SecretRotation{Grace: new("168h")})
	require.Equal(t, second, e.OldSecret)
	require.Equal(t, w.now.Add(7*24*time.Hour), e.OldSecretUntil)
	e = rotate(domain.SecretRotation{Grace: new("0s")})
	require.Len(t, e.Secrets(w.now), 1)
	require.Nil(t, e.OldSecret)
	own := domain.FormatSecret([]byte("a secret of the caller's own"))
	e = rotate(domain.SecretRotation{Secret: &own})
	require.Equal(t, "a secret of the caller's own", string(e.Secret))
	before := w.changes
	require.Equal(t, e, rotate(domain.SecretRotation{Secret: &own}), "again, which must not end the one before")
	require.Equal(t, before, w.changes)

	for _, wrong := range []domain.SecretRotation{
		{Grace: new("-1s")}, {Grace: new("168h1s")}, {Grace: new("1")}, {Grace: new("")}, {Secret: new("")}, {Secret: new("whsec_AAAA")},
	} {
		_, err := s.RotateSecret(t.Context(), owner, tenant.ID, id, wrong)
		require.ErrorIs(t, err, domain.ErrInvalid)
	}
	w.endpoints[0].Unreadable = true
	_, err := s.RotateSecret(t.Context(), owner, tenant.ID, id, domain.SecretRotation{Secret: new(domain.FormatSecret(first))})
	require.Equal(t, "endpoint_unreadable", domain.CodeOf(err))
}

func TestTest(t *testing.T) {
	t.Parallel()
	w, s, tenant, _ := newWorld()
	c := to(hook)
	c.TimeoutMS, c.Headers = domain.SetTo(15_000), domain.SetTo(map[string]*string{"X-A": new("1")})
	e := create(t, s, tenant, c)
	w.endpoints[0].Status, w.endpoints[0].OldSecret, w.endpoints[0].OldSecretUntil = domain.EndpointHeld, []byte("old"), w.now.Add(time.Hour)
	w.result = webhook.Result{Status: 503, Err: errors.New("status 503"), Answer: []byte("busy"), Duration: time.Second}
	got, err := s.Test(t.Context(), owner, tenant.ID, e.ID)
	require.NoError(t, err)
	require.Equal(t, domain.EndpointTest{Status: 503, Error: "status 503", Answer: []byte("busy"), Duration: time.Second}, got)
	sent := w.sent[0]
	require.JSONEq(t, `{"type":"lanekeeper.test","tenant_id":"`+tenant.ID.String()+`","endpoint_id":"`+e.ID.String()+`","timestamp":"2026-11-30T10:00:00Z"}`, string(sent.Body))
	require.Equal(t, webhook.Request{
		To: webhook.To(hook), Timeout: 5 * time.Second, Secrets: [][]byte{e.Secret, []byte("old")}, ID: sent.ID, Body: sent.Body, Headers: map[string]string{"X-A": "1"},
	}, sent)
	require.NotEmpty(t, sent.ID)

	w.result = webhook.Result{Status: 204}
	got, err = s.Test(t.Context(), owner, tenant.ID, e.ID)
	require.NoError(t, err)
	require.Empty(t, got.Error)
	w.endpoints[0].Unreadable = true
	_, err = s.Test(t.Context(), owner, tenant.ID, e.ID)
	require.Equal(t, "endpoint_unreadable", domain.CodeOf(err))
	require.Len(t, w.sent, 2)
}

// While the database is away nobody hears that there is no such thing.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	w, s, tenant, _ := newWorld()
	e := create(t, s, tenant, to(hook))
	w.err = domain.New(domain.ErrUnavailable, "database_unavailable", "Away.")
	_, err := s.Get(t.Context(), owner, tenant.ID, e.ID)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, _, err = s.Upsert(t.Context(), owner, tenant.ID, "erp", to(hook))
	require.ErrorIs(t, err, domain.ErrUnavailable)
}
