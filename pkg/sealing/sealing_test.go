package sealing_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/sealing"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, sealing.KeySize) }

func sealer(t *testing.T, keys ...[]byte) *sealing.Sealer {
	t.Helper()
	s, err := sealing.New(keys...)
	require.NoError(t, err)
	return s
}

func TestWhatIsSealedOpens(t *testing.T) {
	t.Parallel()
	s := sealer(t, key(1))
	plain, context := []byte("a secret of some length"), []byte("tenant 1")
	id, sealed, err := s.Seal(plain, context)
	require.NoError(t, err)
	require.Equal(t, s.KeyID(), id)
	require.NotContains(t, string(sealed), string(plain))
	_, again, err := s.Seal(plain, context)
	require.NoError(t, err)
	require.NotEqual(t, sealed, again, "a nonce of its own each time")

	opened, err := s.Open(id, sealed, context)
	require.NoError(t, err)
	require.Equal(t, plain, opened)
	_, err = s.Open(id, sealed, []byte("tenant 2"))
	require.ErrorIs(t, err, sealing.ErrNotSealed)
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		_, err = s.Open(id, changed, context)
		require.ErrorIs(t, err, sealing.ErrNotSealed, i)
		_, err = s.Open(id, sealed[:i], context)
		require.ErrorIs(t, err, sealing.ErrNotSealed, i)
	}
	_, empty, err := s.Seal([]byte{}, context)
	require.NoError(t, err)
	opened, err = s.Open(id, empty, context)
	require.NoError(t, err)
	require.Empty(t, opened)
	_, none, err := s.Seal(nil, context)
	require.NoError(t, err)
	require.Nil(t, none, "NULL stays NULL")
}

func TestKeysChange(t *testing.T) {
	t.Parallel()
	old := sealer(t, key(1))
	id, sealed, err := old.Seal([]byte("secret"), nil)
	require.NoError(t, err)

	both := sealer(t, key(2), key(1))
	require.Equal(t, sealer(t, key(2)).KeyID(), both.KeyID(), "the first one encrypts")
	require.True(t, both.Knows(id))
	opened, err := both.Open(id, sealed, nil)
	require.NoError(t, err)
	require.Equal(t, "secret", string(opened))

	for _, without := range []*sealing.Sealer{sealer(t, key(2)), sealer(t), nil} {
		require.False(t, without.Knows(id))
		_, err = without.Open(id, sealed, nil)
		require.ErrorIs(t, err, sealing.ErrUnknownKey)
	}
}

func TestWithoutKeysEverythingStaysAsItIs(t *testing.T) {
	t.Parallel()
	for _, s := range []*sealing.Sealer{sealer(t), nil} {
		require.Empty(t, s.KeyID())
		require.True(t, s.Knows(""))
		id, sealed, err := s.Seal([]byte("secret"), []byte("context"))
		require.NoError(t, err)
		require.Empty(t, id)
		require.Equal(t, "secret", string(sealed))
	}
	opened, err := sealer(t, key(1)).Open("", []byte("from before"), []byte("context"))
	require.NoError(t, err)
	require.Equal(t, "from before", string(opened))
}

func TestKeysOfAnotherSize(t *testing.T) {
	t.Parallel()
	for _, wrong := range [][]byte{nil, []byte("short"), append(key(1), 1)} {
		_, err := sealing.New(key(1), wrong)
		require.EqualError(t, err, "a key must have 32 bytes")
	}
}
