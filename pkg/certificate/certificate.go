package certificate

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

const (
	// defaultEvery is how often the files are looked at, unless Options say so.
	defaultEvery = time.Second
	// maxBytes is how much of a file is read: enough for any chain.
	maxBytes = 1 << 20
)

// Options say where the certificate is.
type Options struct {
	// CertFile has the certificate with its chain, KeyFile its key, in PEM.
	CertFile, KeyFile string
	// Every is how often the files are looked at, at most; zero means each second.
	Every time.Duration
	// Changed is called when others are used from now on, or with an error when
	// what is in the files now cannot be used; may be nil. It is called by one
	// goroutine at a time, and must not block.
	Changed func(notAfter time.Time, err error)
}

// Certificate is one that may change. It is safe for concurrent use.
type Certificate struct {
	o       Options
	current atomic.Pointer[tls.Certificate]

	looking atomic.Bool
	// The rest belongs to who has set looking.
	looked    time.Time
	cert, key []byte // what current was made of
	failure   string // the last one that was reported
}

// Load reads the files for the first time. The error names the file where one
// cannot be read, and contains nothing of the key.
func Load(o Options) (*Certificate, error) {
	if o.Every == 0 {
		o.Every = defaultEvery
	}
	c := &Certificate{o: o, looked: time.Now()}
	return c, c.load()
}

// NotAfter is until when the certificate that is used now is valid.
func (c *Certificate) NotAfter() time.Time { return c.current.Load().Leaf.NotAfter }

// Get is for tls.Config.GetCertificate.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.looking.CompareAndSwap(false, true) {
		c.look()
		c.looking.Store(false)
	}
	return c.current.Load(), nil
}

// look loads the files if it is time to.
func (c *Certificate) look() {
	if time.Since(c.looked) < c.o.Every {
		return
	}
	c.looked = time.Now()
	before := c.current.Load()
	err := c.load()
	switch {
	case err != nil && err.Error() != c.failure:
		c.failure = err.Error()
		c.report(err)
	case err == nil:
		c.failure = ""
		if c.current.Load() != before {
			c.report(nil)
		}
	}
}

func (c *Certificate) report(err error) {
	if c.o.Changed != nil {
		c.o.Changed(c.NotAfter(), err)
	}
}

// load makes what is in the files the current one. It changes nothing where that
// is what there is, or cannot be used.
func (c *Certificate) load() error {
	cert, err := read(c.o.CertFile)
	if err != nil {
		return err
	}
	key, err := read(c.o.KeyFile)
	if err != nil {
		return err
	}
	if bytes.Equal(cert, c.cert) && bytes.Equal(key, c.key) {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("read certificate %s and key %s: %w", c.o.CertFile, c.o.KeyFile, err)
	}
	c.cert, c.key = cert, key
	c.current.Store(&pair)
	return nil
}

func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxBytes))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return text, nil
}
