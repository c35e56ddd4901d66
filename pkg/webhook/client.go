package webhook

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

const (
	maxRedirects = 3
	// usualHeaders is how many headers a message has about.
	usualHeaders = 10
	// maxAnswerHeader bounds the header of an answer.
	maxAnswerHeader = 64 << 10

	// Connections that wait to be used again, altogether and to one host. How
	// many are in use is bounded by whoever sends; a limit for each host here would
	// let customers whose receivers share one wait for each other.
	maxIdle        = 1024
	maxIdlePerHost = 128
	idleTimeout    = 30 * time.Second

	// defaultTimeout is that of a request that has none, and longestTimeout that of
	// a connection for nobody knows which.
	defaultTimeout = 5 * time.Second
	longestTimeout = 15 * time.Second

	// An HTTP/2 connection is shared, and an attempt that times out on it does
	// not close it. What is in between may have forgotten it, a load balancer
	// or a NAT, and then every later attempt would go the same way. So one on
	// which nothing came in for a while is asked whether it is still there, and
	// closed when there is no answer. Both together are as long as an attempt
	// takes by default: with that it is the only one lost. The answer is
	// the peer's network code's, not its application's: a receiver that thinks
	// for long is not taken for one that is gone, but its machine may be busy.
	silence     = 2 * time.Second
	pingTimeout = defaultTimeout - silence
)

// ClientOptions configure NewClient.
type ClientOptions struct {
	// AllowPrivate lets URLs lead to private networks and to this machine.
	AllowPrivate bool
	// AllowLocal lets URLs that name this machine (localhost, 127.0.0.1, ::1) lead to
	// it, and nothing else that AllowPrivate does.
	AllowLocal bool
	// UserAgent names the service; "Lanekeeper" by default.
	UserAgent string
	// Resolver looks up host names; nil means net.DefaultResolver.
	Resolver *net.Resolver
	// Now returns the current time; nil means time.Now.
	Now func() time.Time
}

// Request is one message on its way to one URL.
type Request struct {
	// To is where it goes.
	To Destination
	// Timeout covers everything from looking up the name to the end of the answer;
	// 0 for 5 s.
	Timeout time.Duration
	// Secrets sign the message, each of them; at most two, others are left out.
	Secrets [][]byte
	// ID is the webhook-id: the same at every attempt.
	ID   string
	Body []byte
	// Headers are sent along, except those that HTTP or Client needs for itself;
	// see CheckHeader. A redirect to another host does not get them.
	Headers map[string]string
}

// Result is the outcome of one attempt.
type Result struct {
	// Status is the HTTP status; 0 when there was no answer.
	Status int
	// Err is nil for 2xx, else what went wrong, free of secrets and fit to be shown
	// to whoever set the URL.
	Err error
	// RetryAfter is for how long a receiver that answers 429 or 503 wants to be left
	// alone; 0 when it does not say.
	RetryAfter time.Duration
	// Answer is the beginning of the answer's body, at most 4 KiB; nil for none.
	Answer []byte
	// Started is when the attempt began, which is its webhook-timestamp, by the clock
	// of ClientOptions; Duration is how long it took, by that of the machine.
	Started  time.Time
	Duration time.Duration
	// Aborted: the caller's context ended first, which says nothing about the
	// receiver.
	Aborted bool
}

// Client sends messages. It is safe for concurrent use.
type Client struct {
	http      *http.Client
	dialer    *dialer
	userAgent string
	now       func() time.Time
}

// NewClient returns a Client. It uses no proxy, whatever the environment says:
// that would connect to addresses which nobody checks.
func NewClient(o ClientOptions) *Client {
	switch {
	case o.AllowPrivate:
		return newClient(o, nil)
	case o.AllowLocal:
		return newLocalClient(o, refusePrivateButLocal)
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

// newLocalClient returns a client whose requests lead to this machine only where their
// own URL does, so that nobody elsewhere can send them here.
func newLocalClient(o ClientOptions, check guard) *Client {
	c := newClient(o, check)
	c.http.CheckRedirect = func(next *http.Request, before []*http.Request) error {
		// The guard sees new connections only, and there may be one from before.
		if namesThisMachine(next.URL) && !namesThisMachine(before[0].URL) {
			return errAddress
		}
		return checkRedirect(next, before)
	}
	return c
}

// Close closes the connections that wait to be used again.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Send sends a message as the body of a POST, once, and returns by the end of ctx
// or of its timeout. Redirects 307 and 308 are followed, three at most; whatever the
// address, it is checked when it is connected to.
func (c *Client) Send(ctx context.Context, r Request) Result {
	begun, result := time.Now(), Result{Started: c.now()}
	c.send(ctx, &r, &result)
	result.Duration = time.Since(begun)
	return result
}

// send is Send without the times.
func (c *Client) send(ctx context.Context, r *Request, result *Result) {
	limited, cancel := context.WithTimeout(ctx, cmp.Or(r.Timeout, defaultTimeout))
	defer cancel()
	request, err := c.request(withAttempt(limited), r, result.Started)
	if err != nil {
		result.Err = err
		return
	}
	response, err := c.http.Do(request)
	switch {
	case err != nil && ctx.Err() != nil:
		result.Err, result.Aborted = fmt.Errorf("aborted: %w", context.Cause(ctx)), true
		return
	case err != nil:
		result.Err = explain(limited, err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	result.Status, result.Err = response.StatusCode, errorOf(response.StatusCode)
	result.RetryAfter = retryAfter(response, result.Started)
	if response.ContentLength != 0 {
		result.Answer = read(response.Body, cancel)
	}
}

func (c *Client) request(ctx context.Context, r *Request, now time.Time) (*http.Request, error) {
	if r.To.url == nil {
		return nil, errURL
	}
	if namesThisMachine(r.To.url) {
		ctx = context.WithValue(ctx, localKey{}, true)
	}
	request := r.To.post(ctx, r.Body)
	for name, value := range r.Headers {
		if !ownedByClient(name) {
			request.Header.Set(name, value)
		}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", c.userAgent)
	// Never sent: it lets net/http try again on a new connection when the one
	// it had kept was just being closed.
	request.Header["Idempotency-Key"] = []string{}
	request.Header.Set(headerID, r.ID)
	request.Header.Set(headerTimestamp, timestamp(now))
	if len(r.Secrets) > 0 {
		request.Header.Set(headerSignature, signatures(r.Secrets, r.ID, now, r.Body))
	}
	return request, nil
}

// The reasons why there is no status. Their texts are shown to whoever set the URL, and
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
	if next.URL.Host != before[0].URL.Host {
		keepOwn(next.Header) // so may what a customer added
	}
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

// keepOwn deletes the headers that neither Client nor its callers add of themselves.
func keepOwn(h http.Header) {
	for name := range h {
		if !ownedByClient(name) && !ownedByService(name) {
			delete(h, name)
		}
	}
}

// encodeQuery percent-encodes what may not be in a query as it is. net/http
// encodes paths and sends queries as they are, where a space would end the URL.
// URLs that were checked have none, but redirects may.
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
