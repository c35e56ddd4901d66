package repository

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
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

func TestUserIsDisabled(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	ann := newUser(t, "ann@example.com")
	require.NoError(t, d.store.InsertUser(t.Context(), ann))
	for _, at := range []time.Time{time.Now().UTC().Truncate(time.Microsecond), {}} {
		_, err := d.store.ChangeUser(t.Context(), ann.ID, func(u *domain.User) error {
			u.DisabledAt = at
			return nil
		})
		require.NoError(t, err)
		ann.DisabledAt = at
		found, err := d.store.FindUser(t.Context(), ann.ID)
		require.NoError(t, err)
		require.Equal(t, ann, found)
		require.Equal(t, !at.IsZero(), found.Disabled())
		found, err = d.store.FindUserByEmail(t.Context(), ann.Email)
		require.NoError(t, err)
		require.Equal(t, ann, found)
	}
}

// What is asked before every login is answered by an index that is empty when there
// is nothing to be said.
func TestOutdatedPasswordForms(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	forms := func(limit int) []string {
		found, err := d.store.OutdatedPasswordForms(t.Context(), limit)
		require.NoError(t, err)
		return found
	}
	insert := func(hash string) {
		u := newUser(t, newID(t).String()+"@example.com")
		u.PasswordHash = hash
		require.NoError(t, d.store.InsertUser(t.Context(), u))
	}
	const now = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA"
	insert(now)
	insert("")
	require.Empty(t, forms(10))
	for _, hash := range []string{
		"plain", "$2a$10$xyz", "$2a$10$abc", "$2b$12$xyz", "$2y$10$xyz", "$2x$10$xyz", "$argon2i$v=19$m=64,t=1,p=1$a$b",
		"$argon2id$v=19$m=65536,t=3,p=4$a$b", "$argon2id$v=19$m=65536,t=3,p=4$c$d", "$argon2id$v=19$m=19456,t=2,p=2$a$b", "x$2a$11$",
	} {
		insert(hash)
	}
	want := []string{"$2a$10$", "$2b$12$", "$2y$10$", "$argon2id$v=19$m=19456,t=2,p=2$", "$argon2id$v=19$m=65536,t=3,p=4$"}
	require.ElementsMatch(t, want, forms(10))
	require.Len(t, forms(2), 2)

	conn := d.connect(t)
	_, err := conn.Exec(t.Context(), `SET enable_seqscan = off`)
	require.NoError(t, err)
	rows, err := conn.Query(t.Context(), `EXPLAIN `+strings.Replace(passwordFormsSQL, "$1", "10", 1))
	require.NoError(t, err)
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Contains(t, strings.Join(plan, "\n"), "users_password_form_idx")
	require.NotContains(t, strings.Join(plan, "\n"), "Seq Scan")
}
