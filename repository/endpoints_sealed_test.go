package repository

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/sealing"
)

func TestSecretsAreEncrypted(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenant := d.newTenants(t, 1)[0]
	key := func(b byte) []byte { return bytes.Repeat([]byte{b}, sealing.KeySize) }
	withKeys := func(keys ...[]byte) *Store {
		sealer, err := sealing.New(keys...)
		require.NoError(t, err)
		return d.open(t, Options{Sealer: sealer})
	}
	plain, old, turned := d.store, withKeys(key(1)), withKeys(key(2), key(1))
	insert := func(s *Store) domain.Endpoint {
		e, err := s.InsertEndpoint(t.Context(), endpointOf(t, tenant), domain.NewCursor{})
		require.NoError(t, err)
		return e
	}
	before, sealed := insert(plain), insert(old)
	read := func(s *Store, e *domain.Endpoint) domain.Endpoint {
		found, err := s.FindEndpoint(t.Context(), tenant, e.ID)
		require.NoError(t, err)
		return found
	}
	inTable := func(e *domain.Endpoint) string {
		var text string
		require.NoError(t, d.owner.QueryRow(t.Context(), `SELECT encode(headers, 'escape') || encode(secret, 'escape') || encode(old_secret, 'escape') || e::text
			FROM endpoints e WHERE id = $1`, e.ID).Scan(&text))
		return text
	}
	secrets := []string{string(sealed.Secret), string(sealed.OldSecret), sealed.Headers["X-Token"]}
	for _, secret := range secrets {
		require.Contains(t, inTable(&before), secret)
		require.NotContains(t, inTable(&sealed), secret)
		require.NotContains(t, inTable(&sealed), fmt.Sprintf("%x", secret))
	}
	for _, s := range []*Store{old, turned} {
		require.Equal(t, sealed, read(s, &sealed))
		require.Equal(t, before, read(s, &before), "rows from before there was a key can be read")
	}

	// A change encrypts with the first key.
	changed, err := turned.ChangeEndpoint(t.Context(), tenant, before.ID, func(e *domain.Endpoint) error { e.Description = "x"; return nil })
	require.NoError(t, err)
	for _, secret := range secrets {
		require.NotContains(t, inTable(&changed), secret)
	}
	require.Equal(t, changed, read(withKeys(key(2)), &changed))

	// What cannot be decrypted keeps nobody from the others, and stays as it is.
	for _, s := range []*Store{plain, withKeys(key(3)), withKeys(key(2))} {
		unreadable := read(s, &sealed)
		want := sealed
		want.Unreadable, want.Secret, want.OldSecret, want.Headers = true, nil, nil, nil
		require.Equal(t, want, unreadable)
		all, err := s.ListEndpoints(t.Context(), tenant)
		require.NoError(t, err)
		require.Len(t, all, 2)
	}
	_, err = plain.ChangeEndpoint(t.Context(), tenant, sealed.ID, func(e *domain.Endpoint) error { e.Rate = 99; return nil })
	require.NoError(t, err)
	kept := read(turned, &sealed)
	require.False(t, kept.Unreadable)
	require.Equal(t, 99, kept.Rate)
	require.Equal(t, sealed.Secret, kept.Secret)
	require.Equal(t, sealed.OldSecret, kept.OldSecret)
	require.Equal(t, sealed.Headers, kept.Headers)

	// Nor is it of use anywhere else.
	d.exec(t, `UPDATE endpoints SET secret = old_secret, old_secret = secret WHERE id = $1`, sealed.ID)
	require.True(t, new(read(turned, &sealed)).Unreadable)
	d.exec(t, `UPDATE endpoints SET (secret, old_secret, headers, sealed_with) = (SELECT secret, old_secret, headers, sealed_with FROM endpoints WHERE id = $1)
		WHERE id = $2`, changed.ID, sealed.ID)
	require.True(t, new(read(turned, &sealed)).Unreadable)
	require.False(t, new(read(turned, &changed)).Unreadable)
}

func TestResealEndpoints(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants := d.newTenants(t, 3)
	with := func(keys ...byte) *Store {
		var all [][]byte
		for _, b := range keys {
			all = append(all, bytes.Repeat([]byte{b}, sealing.KeySize))
		}
		sealer, err := sealing.New(all...)
		require.NoError(t, err)
		return d.open(t, Options{Sealer: sealer})
	}
	old, turned, only := with(1), with(2, 1), with(2)
	insert := func(s *Store, tenant uuid.UUID) domain.Endpoint {
		e, err := s.InsertEndpoint(t.Context(), endpointOf(t, tenant), domain.NewCursor{})
		require.NoError(t, err)
		return e
	}
	var all []domain.Endpoint
	for i := range tenants { // more than are read at a time
		for range 40 {
			all = append(all, insert(d.store, tenants[i]))
		}
	}
	all = append(all, insert(old, tenants[0]), insert(turned, tenants[1]))
	lost := insert(with(3), tenants[2])
	resealed, unreadable, err := turned.ResealEndpoints(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{121, 1}, []int{resealed, unreadable})
	for i := range all {
		found, err := only.FindEndpoint(t.Context(), all[i].TenantID, all[i].ID)
		require.NoError(t, err)
		require.Equal(t, all[i], found, "of the same version, because it is what it was")
	}
	require.True(t, new(func() domain.Endpoint { e, _ := turned.FindEndpoint(t.Context(), lost.TenantID, lost.ID); return e }()).Unreadable)
	resealed, unreadable, err = turned.ResealEndpoints(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{0, 1}, []int{resealed, unreadable})
}
