package repository

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func newUser(t testing.TB, email string) domain.User {
	t.Helper()
	return domain.User{
		ID: newID(t), Name: "Ann", Email: email, PasswordHash: "$2a$10$x", Role: domain.RoleViewer, TenantID: newID(t),
		TokenVersion: 3, CreatedAt: time.Now().UTC().Truncate(time.Microsecond),
	}
}

func TestUserIsKept(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ann, bob := newUser(t, "ann@example.com"), newUser(t, "bob@example.com")
	bob.TenantID, bob.PasswordHash = uuid.Nil, ""
	for _, u := range []domain.User{ann, bob} {
		require.NoError(t, d.store.InsertUser(t.Context(), u))
		found, err := d.store.FindUser(t.Context(), u.ID)
		require.NoError(t, err)
		require.Equal(t, u, found)
		found, err = d.store.FindUserByEmail(t.Context(), strings.ToUpper(u.Email))
		require.NoError(t, err)
		require.Equal(t, u, found)
	}
	_, err := d.store.FindUser(t.Context(), newID(t))
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, err = d.store.FindUserByEmail(t.Context(), "nobody@example.com")
	require.ErrorIs(t, err, domain.ErrNotFound)

	users, err := d.store.ListUsers(t.Context(), uuid.Nil, 1)
	require.NoError(t, err)
	require.Equal(t, []domain.User{ann}, users)
	users, err = d.store.ListUsers(t.Context(), ann.ID, 10)
	require.NoError(t, err)
	require.Equal(t, []domain.User{bob}, users)

	require.NoError(t, d.store.DeleteUser(t.Context(), ann.ID))
	require.ErrorIs(t, d.store.DeleteUser(t.Context(), ann.ID), domain.ErrNotFound)
}

func TestChangeUser(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ann, bob := newUser(t, "ann@example.com"), newUser(t, "bob@example.com")
	require.NoError(t, d.store.InsertUser(t.Context(), ann))
	require.NoError(t, d.store.InsertUser(t.Context(), bob))

	changed, err := d.store.ChangeUser(t.Context(), ann.ID, func(u *domain.User) error {
		require.Equal(t, ann, *u)
		u.Name, u.Email, u.PasswordHash, u.Role, u.TenantID = "Anna", "anna@example.com", "new", domain.RoleAdmin, uuid.Nil
		u.TokenVersion++
		return nil
	})
	require.NoError(t, err)
	found, err := d.store.FindUser(t.Context(), ann.ID)
	require.NoError(t, err)
	require.Equal(t, changed, found)
	require.Equal(t, 4, found.TokenVersion)

	_, err = d.store.ChangeUser(t.Context(), ann.ID, func(u *domain.User) error { u.Email = bob.Email; return nil })
	require.ErrorIs(t, err, domain.ErrConflict)
	require.Equal(t, "email_taken", domain.CodeOf(err))
	refused := errors.New("no")
	_, err = d.store.ChangeUser(t.Context(), ann.ID, func(u *domain.User) error { u.Name = "x"; return refused })
	require.Same(t, refused, err)
	_, err = d.store.ChangeUser(t.Context(), newID(t), func(*domain.User) error { return nil })
	require.ErrorIs(t, err, domain.ErrNotFound)
	found, err = d.store.FindUser(t.Context(), ann.ID)
	require.NoError(t, err)
	require.Equal(t, changed, found)
}

func TestEmailIsTakenWhateverItsCapitals(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	require.NoError(t, d.store.InsertUser(t.Context(), newUser(t, "ann@example.com")))
	for _, email := range []string{"ann@example.com", "Ann@Example.com"} {
		err := d.store.InsertUser(t.Context(), newUser(t, email))
		require.ErrorIs(t, err, domain.ErrConflict)
		require.Equal(t, "email_taken", domain.CodeOf(err))
	}
}

// People insert users by SQL and leave out whatever they can.
func TestUserInsertedBySQL(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	conn := d.connect(t)
	_, err := conn.Exec(t.Context(), `INSERT INTO users (user_id, name, email, password) VALUES (gen_random_uuid(), 'Ann', 'Ann@Example.com', '$2a$10$x')`)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `INSERT INTO users (name, email) VALUES ('Bob', 'bob@example.com')`)
	require.NoError(t, err)

	ann, err := d.store.FindUserByEmail(t.Context(), "ann@example.com")
	require.NoError(t, err)
	require.Equal(t, domain.RoleMember, ann.Role)
	require.Zero(t, ann.TenantID)
	require.Zero(t, ann.TokenVersion)
	require.NotZero(t, ann.CreatedAt)
	require.Equal(t, "$2a$10$x", ann.PasswordHash)
	bob, err := d.store.FindUserByEmail(t.Context(), "bob@example.com")
	require.NoError(t, err)
	require.Empty(t, bob.PasswordHash)
}

func TestEnsureSecret(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	first, err := d.store.EnsureSecret(t.Context(), "jwt", []byte("one"))
	require.NoError(t, err)
	require.Equal(t, []byte("one"), first)
	second, err := d.open(t, Options{}).EnsureSecret(t.Context(), "jwt", []byte("two"))
	require.NoError(t, err)
	require.Equal(t, []byte("one"), second)
}
