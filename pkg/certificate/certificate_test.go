package certificate_test

import (
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/certificate"
	"lanekeeper/tests/certs"
)

// serial returns the number of the certificate that a handshake gets.
func serial(t *testing.T, c *certificate.Certificate) string {
	t.Helper()
	got, err := c.Get(nil)
	require.NoError(t, err)
	return got.Leaf.SerialNumber.String()
}

func TestChangedFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	first, second := certs.New(t), certs.New(t)
	files := first.Write(t)
	var failures []string
	changes := 0
	c, err := certificate.Load(certificate.Options{
		CertFile: files.Certificate, KeyFile: files.Key, Every: time.Nanosecond,
		Changed: func(notAfter time.Time, err error) {
			require.WithinDuration(t, time.Now().Add(24*time.Hour), notAfter, time.Hour)
			if err != nil {
				failures = append(failures, err.Error())
				return
			}
			changes++
		},
	})
	require.NoError(t, err)
	require.Equal(t, first.Serial.String(), serial(t, c))
	require.Equal(t, first.Serial.String(), serial(t, c))
	require.Zero(t, changes, "nothing has changed")

	// In between a certificate has not yet its key: the old one stays, reported
	// once however often it is looked at.
	require.NoError(t, os.WriteFile(files.Certificate, second.Certificate, 0o600))
	for range 3 {
		require.Equal(t, first.Serial.String(), serial(t, c))
	}
	require.Len(t, failures, 1)
	require.Contains(t, failures[0], files.Key)
	require.NotContains(t, failures[0], "PRIVATE")
	require.NoError(t, os.WriteFile(files.Key, second.Key, 0o600))
	require.Equal(t, second.Serial.String(), serial(t, c))
	require.Equal(t, 1, changes)

	for _, broken := range []func(){
		func() { require.NoError(t, os.WriteFile(files.Certificate, []byte("no PEM"), 0o600)) },
		func() { require.NoError(t, os.WriteFile(files.Certificate, nil, 0o600)) },
		func() { require.NoError(t, os.Remove(files.Key)) },
	} {
		broken()
		require.Equal(t, second.Serial.String(), serial(t, c))
	}
	require.Greater(t, len(failures), 2)
	first.Replace(t, files)
	require.Equal(t, first.Serial.String(), serial(t, c))
	require.Equal(t, 2, changes)
}

// Files are looked at once in a while, whatever the number of handshakes.
func TestFilesAreLeftAloneInBetween(t *testing.T) {
	t.Parallel()
	first, second := certs.New(t), certs.New(t)
	files := first.Write(t)
	c, err := certificate.Load(certificate.Options{CertFile: files.Certificate, KeyFile: files.Key, Every: time.Hour})
	require.NoError(t, err)
	second.Replace(t, files)
	require.Equal(t, first.Serial.String(), serial(t, c))
}

func TestWhatCannotBeLoaded(t *testing.T) {
	t.Parallel()
	first, second := certs.New(t), certs.New(t)
	files := first.Write(t)
	_, err := certificate.Load(certificate.Options{CertFile: files.Certificate, KeyFile: second.Write(t).Key})
	require.ErrorContains(t, err, "does not match")
	_, err = certificate.Load(certificate.Options{CertFile: files.Certificate + ".missing", KeyFile: files.Key})
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Many handshakes at once, while the files change.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	first, second := certs.New(t), certs.New(t)
	files := first.Write(t)
	c, err := certificate.Load(certificate.Options{CertFile: files.Certificate, KeyFile: files.Key, Every: time.Nanosecond})
	require.NoError(t, err)
	var wg sync.WaitGroup
	var seen atomic.Int64
	for range 8 {
		wg.Go(func() {
			for range 200 {
				got, err := c.Get(nil)
				if err == nil && got.Leaf.SerialNumber.Cmp(second.Serial) == 0 {
					seen.Add(1)
				}
			}
		})
	}
	second.Replace(t, files)
	wg.Wait()
	require.Equal(t, second.Serial.String(), serial(t, c))
}
