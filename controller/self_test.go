package controller

import (
	"context"
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/model"
)

// fakeSelf answers what is about the caller.
type fakeSelf struct{ *fakeServices }

func (f fakeSelf) Self(_ context.Context, p domain.Principal) (*domain.User, error) {
	err := f.record(func() {})
	if p.UserID == uuid.Nil {
		return nil, err
	}
	user := someUser()
	return &user, err
}

func (f fakeSelf) ChangePassword(_ context.Context, _ domain.Principal, current, next, remote string) error {
	return f.record(func() { f.passwords = [3]string{current, next, remote} })
}

func (f fakeSelf) Logout(context.Context, domain.Principal) error { return f.record(func() {}) }

func TestMe(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	me := decodeReply[model.Me](t, a.do("GET", "/api/me", "", "Authorization: viewer"))
	require.Equal(t, "viewer", me.Role)
	require.Equal(t, userID.String(), me.User.ID)
	require.Equal(t, "ada@example.com", me.User.Email)
	require.Nil(t, me.TenantID)
	me = decodeReply[model.Me](t, a.do("GET", "/api/me", "", "Authorization: lodger"))
	require.Equal(t, tenantID.String(), *me.TenantID)

	open := newAPI(t, func(o *Options) { o.Auth = fakeAuth{open: true}; o.OpenMode = true })
	require.JSONEq(t, `{"user":null,"role":"admin","tenant_id":null,"used":{"tenants":3,"tenants_last_minute":1,"workers":9},
		"limits":{"tenants":1000,"tenants_per_minute":0,"workers":0,"endpoints_per_tenant":0,"streams":0,"backlog_mib":0,"backlog_mib_per_tenant":0,"publish_rate":0}}`,
		open.do("GET", "/api/me", "", "Authorization:").body)
}

func TestChangeOwnPassword(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.do("PUT", "/api/me/password", `{"current":"a","new":"b"}`, "Authorization: viewer")
	require.Equal(t, http.StatusNoContent, got.status)
	require.Empty(t, got.body)
	require.Equal(t, [3]string{"a", "b", "127.0.0.1"}, a.fakes.passwords)
	for body, pointer := range map[string]string{`{"current":"a"}`: "/new", `{"new":"b"}`: "/current", `{"current":"a","new":5}`: "/new", `{"current":"a","new":"b","x":1}`: "/x"} {
		p := a.problem(a.do("PUT", "/api/me/password", body), http.StatusUnprocessableEntity, "invalid_fields")
		require.Equal(t, pointer, p.Errors[0].Pointer)
	}
	a.problem(a.do("PUT", "/api/me/password", ""), http.StatusBadRequest, "empty_body")
}
