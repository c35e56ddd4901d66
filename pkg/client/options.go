package client

import (
	"net/http"
	"strings"
	"time"
)

// Defaults of what options set.
const (
	// DefaultRetryFor is how long a call is tried again.
	DefaultRetryFor = 30 * time.Second
	// DefaultTimeout is how long one attempt at a call may take.
	DefaultTimeout = time.Minute
	// DefaultUserAgent is the header User-Agent.
	DefaultUserAgent = "lanekeeper-go"
)

// Option is for New. Of several that set the same, the last one counts.
type Option func(*settings)

type settings struct {
	tenant    string
	agent     string
	http      *http.Client
	tokens    TokenSource
	retryFor  time.Duration
	timeout   time.Duration
	keyless   bool
	onAttempt func(Attempted)
}

func defaults() settings {
	return settings{agent: DefaultUserAgent, retryFor: DefaultRetryFor, timeout: DefaultTimeout, tokens: StaticToken("")}
}

// WithKey makes the client call with an API key (lk_...).
func WithKey(key string) Option { return WithToken(key) }

// WithToken makes the client call with a token, with or without "Bearer " and white
// space around it, or with none when it is empty, which a service in open mode takes.
func WithToken(token string) Option { return WithTokenSource(StaticToken(strings.TrimSpace(token))) }

// WithLogin makes the client log in when it needs a token, and again before that
// expires, or when it is refused.
func WithLogin(email, password string) Option {
	return func(s *settings) { s.tokens = newLogin(email, password) }
}

// WithTokenSource makes the client ask for its tokens.
func WithTokenSource(tokens TokenSource) Option { return func(s *settings) { s.tokens = tokens } }

// WithTenant says which tenant the client is for: an id, or "ext:" and an external id.
// A caller that belongs to one tenant can leave it out for what is about messages
// and dead letters.
func WithTenant(id string) Option { return func(s *settings) { s.tenant = id } }

// WithHTTPClient makes the client call through this one, instead of one with
// NewTransport. Its Timeout does not hold for streams.
func WithHTTPClient(c *http.Client) Option { return func(s *settings) { s.http = c } }

// WithUserAgent sets the header User-Agent.
func WithUserAgent(agent string) Option { return func(s *settings) { s.agent = agent } }

// WithRetryFor sets for how long a call is tried again, counted from its beginning;
// 0 for never. An answer that says to wait for longer than what is left of it is
// the result.
func WithRetryFor(d time.Duration) Option { return func(s *settings) { s.retryFor = d } }

// WithTimeout sets how long one attempt at a call may take, its answer included; 0
// for any time. It does not hold for streams, which have a limit of their own.
func WithTimeout(d time.Duration) Option { return func(s *settings) { s.timeout = d } }

// WithoutGeneratedKeys makes the client publish without an idempotency key what the
// caller gave none. That costs the service less, and works while its database is
// away, but such a publication is tried again only when it was certainly refused: after a
// lost connection, or 503, it is for the caller to choose between a message that may
// be missing and one that may be there twice.
func WithoutGeneratedKeys() Option { return func(s *settings) { s.keyless = true } }

// WithAttempts makes the client call f after each attempt at a call that is going to
// be tried again, or at a stream that is: to be shown or counted. It is called from
// the goroutine of the call, and must not block.
func WithAttempts(f func(Attempted)) Option { return func(s *settings) { s.onAttempt = f } }

// Attempted is an attempt that did not succeed.
type Attempted struct {
	Method, Path string
	// Err is what went wrong.
	Err error
	// Wait is the pause before the next attempt.
	Wait time.Duration
}

// NewTransport returns what the client uses unless WithHTTPClient says otherwise: net/http's
// default, proxies from the environment included, with connections for many
// goroutines at a time.
func NewTransport() *http.Transport {
	base, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		base = &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	}
	t := base.Clone()
	t.MaxIdleConns = 0
	t.MaxIdleConnsPerHost = idlePerHost
	t.IdleConnTimeout = idleTimeout
	t.ResponseHeaderTimeout = headerTimeout
	return t
}

const (
	// idlePerHost is how many goroutines can call at a time without connecting anew
	// each time; net/http has 2.
	idlePerHost = 256
	// idleTimeout is below that of the service, which otherwise closes a connection
	// in the moment in which it is used again.
	idleTimeout = 30 * time.Second
	// headerTimeout is well above what the service takes to answer.
	headerTimeout = 30 * time.Second
)
