package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Pair is a certificate with its key, in PEM.
type Pair struct {
	Certificate, Key []byte
	// Serial is different for each.
	Serial *big.Int
}

// New makes one that holds for a day.
func New(t testing.TB) Pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	require.NoError(t, err)
	template := x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "lanekeeper test " + serial.String()},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return Pair{
		Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		Serial:      serial,
	}
}

// Files is where a Pair is.
type Files struct{ Certificate, Key string }

// Write writes it to a directory of the test's own.
func (p Pair) Write(t testing.TB) Files {
	t.Helper()
	dir := t.TempDir()
	f := Files{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	p.Replace(t, f)
	return f
}

// Replace writes it over another one, the key first.
func (p Pair) Replace(t testing.TB, f Files) {
	t.Helper()
	require.NoError(t, os.WriteFile(f.Key, p.Key, 0o600))
	require.NoError(t, os.WriteFile(f.Certificate, p.Certificate, 0o600))
}

// Pool returns what trusts it.
func (p Pair) Pool(t testing.TB) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(p.Certificate))
	return pool
}
