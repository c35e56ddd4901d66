package transmit

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"lanekeeper/domain"
)

const (
	maxRedirects = 3
	// maxAnswer is how much of an answer's body is read, and drainTimeout for
	// how long. That is done for the sake of the connection, which can be used
	// again only when the body was read to its end.
	maxAnswer    = 64 << 10
	drainTimeout = 500 * time.Millisecond
	// maxAnswerHeader bounds the header of an answer.
	maxAnswerHeader = 64 << 10

	// Connections that wait to be used again, altogether and to one host. How
	// many are in use is bounded by the tenants' workers; a limit for each host
	// would let tenants whose endpoints share one wait for each other.
	maxIdle        = 256
	maxIdlePerHost = 16
	idleTimeout    = 30 * time.Second

	// An HTTP/2 connection is shared, and an attempt that times out on it does
	// not close it. What is in between may have forgotten it, a load balancer
	// or a NAT, and then every later attempt would go the same way. So one on
	// which nothing came in for a while is asked whether it is still there, and
	// closed when there is no answer. Both together are as long as an attempt
	// takes by default: it is the only one lost, and so are at most two with
	// the shortest timeout, which come back after 1 s and 5 s. The answer is
	// the peer's network code's, not its application's: an endpoint that thinks
	// for long is not taken for one that is gone, but its machine may be busy.
	silence     = 2 * time.Second
	pingTimeout = domain.DefaultEndpointTimeout - silence
)

// ClientOptions configure NewClient.
type ClientOptions struct {
	// AllowPrivate lets endpoints be in private networks and on this machine.
	AllowPrivate bool
	// UserAgent names the service; "Lanekeeper" by default.
	UserAgent string
	// Resolver looks up host names; nil means net.DefaultResolver.
	Resolver *net.Resolver
	// Now returns the current time; nil means time.Now.
	Now func() time.Time
}

// Client sends messages to endpoints. It is safe for concurrent use.
type Client struct {
	http      *http.Client
	dialer    *dialer
	userAgent string
	now       func() time.Time
}

var _ domain.Transmitter = (*Client)(nil)

// NewClient returns a Client. It uses no proxy, whatever the environment says:
// that would connect to addresses which nobody checks.
func NewClient(o ClientOptions) *Client {
	if o.AllowPrivate {
		return newClient(o, nil)
	}
	return newClient(o, refusePrivate)
}

// guard is called with each address that is about to be connected to.
type guard func(ctx context.Context, network, address string, conn syscall.RawConn) error

func newClient(o ClientOptions, check guard) *Client {
	c := &Client{dialer: newDialer(o.Resolver, check), userAgent: cmp.Or(o.UserAgent, "Lanekeeper"), now: o.Now}
	if c.now == nil {
		c.now = time.Now
	}
	c.http = &http.Client{
		CheckRedirect: checkRedirect,
		Transport: &http.Transport{
			DialContext: c.dialer.plain, DialTLSContext: c.dialer.secure,
			ForceAttemptHTTP2: true, HTTP2: &http.HTTP2Config{SendPingTimeout: silence, PingTimeout: pingTimeout},
			MaxIdleConns: maxIdle, MaxIdleConnsPerHost: maxIdlePerHost, IdleConnTimeout: idleTimeout,
			MaxResponseHeaderBytes: maxAnswerHeader, DisableCompression: true,
		},
	}
	return c
}

// Close closes the connections that wait to be used again.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Transmit implements domain.Transmitter. The body is the message's payload as
// it is. Redirects 307 and 308 are followed, three at most; whatever the
// address, it is checked when it is connected to. The endpoint's timeout
// covers everything from looking up its name to the end of the answer.
func (c *Client) Transmit(ctx context.Context, e domain.Endpoint, m domain.Message) domain.TransmitResult {
	limited, cancel := context.WithTimeout(ctx, cmp.Or(e.Timeout, domain.DefaultEndpointTimeout))
	defer cancel()
	request, err := c.request(withAttempt(limited), &e, &m)
	if err != nil {
		return domain.TransmitResult{Err: err}
	}
	response, err := c.http.Do(request)
	if err != nil {
		if ctx.Err() != nil { // says nothing about the endpoint
			return domain.TransmitResult{Err: fmt.Errorf("aborted: %w", context.Cause(ctx))}
		}
		return domain.TransmitResult{Err: explain(limited, err)}
	}
	defer func() { _ = response.Body.Close() }()
	drain(response.Body, cancel)
	return resultOf(response.StatusCode)
}

func (c *Client) request(ctx context.Context, e *domain.Endpoint, m *domain.Message) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, bytes.NewReader(m.Payload))
	if err != nil {
		return nil, errURL
	}
	encodeQuery(request.URL)
	id, now := m.ID.String(), c.now()
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", c.userAgent)
	// Never sent: it lets net/http try again on a new connection when the one
	// it had kept was just being closed.
	request.Header["Idempotency-Key"] = []string{}
	request.Header.Set(headerID, id)
	request.Header.Set(headerTimestamp, timestamp(now))
	request.Header.Set(headerSignature, signature(e.Secret, id, now, m.Payload))
	return request, nil
}

// drain reads what little an answer should have, and gives up on one that has
// more or takes its time. What it says does not matter.
func drain(body io.Reader, abort func()) {
	timer := time.AfterFunc(drainTimeout, abort)
	defer timer.Stop()
	_, _ = io.CopyN(io.Discard, body, maxAnswer)
}

func resultOf(status int) domain.TransmitResult {
	r := domain.TransmitResult{Status: status, Gone: status == http.StatusGone}
	switch {
	case status >= 200 && status < 300:
	case status >= 300 && status < 400:
		r.Err = fmt.Errorf("status %d: such redirects are not followed", status)
	default:
		r.Err = fmt.Errorf("status %d", status)
	}
	return r
}

// The reasons why there is no status. Their texts are shown to tenants, and
// say nothing about the network the service is in.
var (
	errURL       = errors.New("the URL is not valid")
	errTimeout   = errors.New("timeout")
	errLookup    = errors.New("the host name cannot be resolved")
	errConnect   = errors.New("the connection is refused or cannot be made")
	errTLS       = errors.New("the TLS certificate is not accepted")
	errRedirects = errors.New("too many redirects")
	errDowngrade = errors.New("the redirect is not allowed")
	errBroken    = errors.New("the connection broke before there was an answer")
)

// checkRedirect follows the redirects that keep method and body. Others are
// the answer.
func checkRedirect(next *http.Request, before []*http.Request) error {
	next.Header.Del("Referer") // URLs may carry secrets
	encodeQuery(next.URL)
	switch {
	case next.Method != http.MethodPost:
		return http.ErrUseLastResponse
	case len(before) > maxRedirects:
		return errRedirects
	case next.URL.User != nil, next.URL.Scheme != "https" && before[len(before)-1].URL.Scheme == "https":
		return errDowngrade
	}
	return nil
}

// encodeQuery percent-encodes what may not be in a query as it is. net/http
// encodes paths and sends queries as they are, where a space would end the URL.
// New endpoints have none, but redirects may, and endpoints that were stored
// before it was refused.
func encodeQuery(u *url.URL) {
	var b strings.Builder
	for i := range len(u.RawQuery) {
		if c := u.RawQuery[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	u.RawQuery = b.String()
}

// explain turns the error of a request into one of ours.
func explain(ctx context.Context, err error) error {
	for _, known := range []error{errAddress, errRedirects, errDowngrade} {
		if errors.Is(err, known) {
			return known
		}
	}
	if timeout, ok := errors.AsType[net.Error](err); errors.Is(ctx.Err(), context.DeadlineExceeded) || ok && timeout.Timeout() {
		return errTimeout
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return errLookup
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errTLS
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return errConnect
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return errBroken
	}
	return err
}
