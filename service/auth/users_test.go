package auth

import (
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func pointers(t *testing.T, err error) []string {
	t.Helper()
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	require.ErrorIs(t, err, domain.ErrInvalid)
	var list []string
	for _, f := range e.Fields {
		list = append(list, f.Pointer)
	}
	return list
}

func TestCreateUser(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	user := b.addUser(t, "Ada@Example.com")
	require.Equal(t, "ada@example.com", user.Email)
	require.Equal(t, domain.RoleMember, user.Role)
	require.Contains(t, user.PasswordHash, "$argon2id$")

	_, err := b.CreateUser(t.Context(), domain.UserChange{})
	require.Equal(t, []string{"/name", "/email", "/password"}, pointers(t, err))
	_, err = b.CreateUser(t.Context(), domain.UserChange{Name: new(""), Email: new("x"), Password: new("short"), Role: new("root"), TenantID: new("x")})
	require.Equal(t, []string{"/name", "/email", "/password", "/role", "/tenant_id"}, pointers(t, err))
	_, err = b.CreateUser(t.Context(), domain.UserChange{Name: new("A"), Email: new("a@b.c"), Password: new("correct horse battery"), TenantID: new(uuid.NewString())})
	require.Equal(t, []string{"/tenant_id"}, pointers(t, err))
	_, err = b.CreateUser(t.Context(), domain.UserChange{Name: new("A"), Email: new("ada@example.com"), Password: new("correct horse battery")})
	require.Equal(t, "email_taken", domain.CodeOf(err))
}

func TestListUsers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 5 {
		b.addUser(t, fmt.Sprintf("u%d@example.com", i))
	}
	var after uuid.UUID
	var seen []string
	for more := true; more; {
		var users []domain.User
		var err error
		users, more, err = b.ListUsers(t.Context(), after, 2)
		require.NoError(t, err)
		for _, u := range users {
			seen, after = append(seen, u.Email), u.ID
		}
	}
	require.Len(t, seen, 5)
}

func TestChangeUser(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	user := b.addUser(t, "ada@example.com", func(c *domain.UserChange) { c.Role = new("admin") })
	self := domain.Principal{UserID: user.ID, Role: domain.RoleAdmin}
	other := domain.Principal{UserID: uuid.New(), Role: domain.RoleAdmin}

	_, err := b.ChangeUser(t.Context(), self, user.ID, domain.UserChange{Role: new("viewer")})
	require.Equal(t, "own_account", domain.CodeOf(err))
	_, err = b.ChangeUser(t.Context(), self, user.ID, domain.UserChange{Role: new("admin"), Name: new("Ada K")})
	require.NoError(t, err)
	changed, err := b.ChangeUser(t.Context(), self, user.ID, domain.UserChange{Password: new("another horse battery")})
	require.NoError(t, err)
	require.Equal(t, 1, changed.TokenVersion)
	_, err = b.Login(t.Context(), "ada@example.com", "another horse battery", "10.0.0.1")
	require.NoError(t, err)
	_, err = b.ChangeUser(t.Context(), other, user.ID, domain.UserChange{Role: new("viewer")})
	require.NoError(t, err)
	_, err = b.ChangeUser(t.Context(), other, user.ID, domain.UserChange{TenantID: new(uuid.NewString())})
	require.Equal(t, []string{"/tenant_id"}, pointers(t, err))
	for _, change := range []domain.UserChange{{Name: new("x")}, {Password: new("another horse battery")}} {
		_, err = b.ChangeUser(t.Context(), other, uuid.New(), change)
		require.ErrorIs(t, err, domain.ErrNotFound)
	}
}

func TestDeleteUser(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	user := b.addUser(t, "ada@example.com")
	require.Equal(t, "own_account", domain.CodeOf(b.DeleteUser(t.Context(), domain.Principal{UserID: user.ID}, user.ID)))
	require.NoError(t, b.DeleteUser(t.Context(), domain.Principal{}, user.ID))
	require.ErrorIs(t, b.DeleteUser(t.Context(), domain.Principal{}, user.ID), domain.ErrNotFound)
	_, err := b.GetUser(t.Context(), user.ID)
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, err = b.IssueFor(t.Context(), "ada@example.com")
	require.ErrorIs(t, err, domain.ErrNotFound)
}
