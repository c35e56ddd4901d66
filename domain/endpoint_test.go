package domain_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

const hookURL = "https://example.com/hook"

// said returns what a caller says who gives an URL and what set adds.
func said(set func(*domain.EndpointChange)) *domain.EndpointChange {
	c := &domain.EndpointChange{URL: domain.SetTo(hookURL)}
	set(c)
	return c
}

func TestNewEndpoint(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	e, err := domain.NewEndpoint(id, said(func(*domain.EndpointChange) {}), domain.EndpointRules{})
	require.NoError(t, err)
	require.NotZero(t, e.ID)
	require.Len(t, e.Secret, 32)
	require.Equal(t, domain.Endpoint{
		ID: e.ID, TenantID: id, URL: hookURL, Timeout: domain.DefaultEndpointTimeout, Ordering: domain.OrderingNone,
		OnFailure: domain.FailureBlocks, Retry: domain.DefaultRetryPolicy(), Secret: e.Secret, Status: domain.EndpointActive,
	}, e)
	other, err := domain.NewEndpoint(id, said(func(*domain.EndpointChange) {}), domain.EndpointRules{})
	require.NoError(t, err)
	require.NotEqual(t, e.Secret, other.Secret)

	_, err = domain.NewEndpoint(id, &domain.EndpointChange{}, domain.EndpointRules{})
	require.Equal(t, []string{"/url"}, pointers(t, err))
	_, err = domain.NewEndpoint(id, &domain.EndpointChange{URL: domain.Setting[string]{Said: true}}, domain.EndpointRules{})
	require.Equal(t, []string{"/url"}, pointers(t, err))
}

func TestEndpointURL(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"https://example.com", "http://example.com:8080/a?b=c", "https://[2606:4700::1111]/", "http://10.0.0.1/",
		"https://example.com/" + strings.Repeat("x", domain.MaxEndpointURLLength-20), "HTTPS://EXAMPLE.COM/",
	} {
		e, err := domain.NewEndpoint(uuid.New(), &domain.EndpointChange{URL: domain.SetTo(text)}, domain.EndpointRules{})
		require.NoError(t, err, text)
		require.Equal(t, text, e.URL)
	}
	for _, text := range []string{
		"", "example.com", "/path", "ftp://example.com", "file:///etc/passwd", "gopher://a", "javascript:alert(1)", "http:example.com",
		"http://", "http:///path", "https://:443/", "https://user@example.com", "https://user:pass@example.com", "https://example.com/#a",
		"https://example.com#", "http://exa mple.com", "http://[::1", "http://a\x00b", "http://a/\n", "://a", "http://%zz/",
		"https://example.com/" + strings.Repeat("x", domain.MaxEndpointURLLength-19),
	} {
		_, err := domain.NewEndpoint(uuid.New(), &domain.EndpointChange{URL: domain.SetTo(text)}, domain.EndpointRules{})
		require.Equal(t, []string{"/url"}, pointers(t, err), "%q", text)
	}
	rules := domain.EndpointRules{CheckURL: func(url string) string {
		require.Equal(t, hookURL, url, "only what is a URL is asked about")
		return "must lead elsewhere"
	}}
	_, err := domain.NewEndpoint(uuid.New(), said(func(*domain.EndpointChange) {}), rules)
	require.Equal(t, []string{"/url"}, pointers(t, err))
	_, err = domain.NewEndpoint(uuid.New(), &domain.EndpointChange{URL: domain.SetTo("x")}, rules)
	require.Equal(t, []string{"/url"}, pointers(t, err))
}

func secretOf(size int) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", size)))
}

// What may be said of each field, and what may not.
func TestEndpointFields(t *testing.T) {
	t.Parallel()
	texts := func(n int, text string) []string { return slices.Repeat([]string{text}, n) }
	numbered := func(n int) []string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf("order.n%d", i)
		}
		return all
	}
	type change = domain.EndpointChange
	for name, c := range map[string]struct {
		set   func(*change)
		wrong []string
	}{
		"everything": {set: func(c *change) {
			c.Description, c.ExternalID, c.Types = domain.SetTo("a\nb\tc"), domain.SetTo("erp/1 ä"), domain.SetTo([]string{"order.*", "*.done", "*"})
			c.TimeoutMS, c.Concurrency, c.Rate = domain.SetTo(100), domain.SetTo(100), domain.SetTo(100_000)
			c.Ordering, c.OnFailure = domain.SetTo("fifo"), domain.SetTo("skip")
			c.RetrySchedule, c.RetryFinal = domain.SetTo([]string{"1s", "72h", "1h30m", "1500ms"}), domain.SetTo([]int{300, 599})
			c.Secret, c.FromSeq = domain.SetTo(secretOf(24)), domain.SetTo(1)
		}},
		"most of everything": {set: func(c *change) {
			c.Description, c.ExternalID = domain.SetTo(strings.Repeat("ä", 2000)), domain.SetTo(strings.Repeat("x", 200))
			c.Types, c.RetrySchedule = domain.SetTo(numbered(50)), domain.SetTo(texts(30, "1h"))
			c.Secret = domain.SetTo(secretOf(64))
		}},
		"nothing":          {set: func(c *change) { c.Types, c.RetrySchedule = domain.SetTo([]string{}), domain.SetTo([]string{}) }},
		"long description": {func(c *change) { c.Description = domain.SetTo(strings.Repeat("ä", 2001)) }, []string{"/description"}},
		"NUL":              {func(c *change) { c.Description = domain.SetTo("a\x00") }, []string{"/description"}},
		"no external id":   {func(c *change) { c.ExternalID = domain.SetTo("") }, []string{"/external_id"}},
		"long external id": {func(c *change) { c.ExternalID = domain.SetTo(strings.Repeat("x", 201)) }, []string{"/external_id"}},
		"odd external id":  {func(c *change) { c.ExternalID = domain.SetTo("a\nb") }, []string{"/external_id"}},
		"dots":             {func(c *change) { c.ExternalID = domain.SetTo("..") }, []string{"/external_id"}},
		"not UTF-8":        {func(c *change) { c.ExternalID = domain.SetTo("\xff") }, []string{"/external_id"}},
		"many types":       {func(c *change) { c.Types = domain.SetTo(numbered(51)) }, []string{"/types"}},
		"malformed types": {func(c *change) {
			c.Types = domain.SetTo([]string{"", "a..b", "a", ".", "a b", "or*er", "a.", strings.Repeat("x", 129), "**", "ä"})
		}, []string{"/types/0", "/types/1", "/types/3", "/types/4", "/types/5", "/types/6", "/types/7", "/types/8", "/types/9"}},
		"types twice":       {func(c *change) { c.Types = domain.SetTo([]string{"a.*", "b", "a.*"}) }, []string{"/types/2"}},
		"short timeout":     {func(c *change) { c.TimeoutMS = domain.SetTo(99) }, []string{"/timeout_ms"}},
		"long timeout":      {func(c *change) { c.TimeoutMS = domain.SetTo(15_001) }, []string{"/timeout_ms"}},
		"no slot":           {func(c *change) { c.Concurrency = domain.SetTo(0) }, []string{"/concurrency"}},
		"many slots":        {func(c *change) { c.Concurrency = domain.SetTo(101) }, []string{"/concurrency"}},
		"negative rate":     {func(c *change) { c.Rate = domain.SetTo(-1) }, []string{"/rate"}},
		"high rate":         {func(c *change) { c.Rate = domain.SetTo(100_001) }, []string{"/rate"}},
		"huge numbers":      {func(c *change) { c.TimeoutMS, c.Rate = domain.SetTo(1<<62), domain.SetTo(-1<<62) }, []string{"/timeout_ms", "/rate"}},
		"odd ordering":      {func(c *change) { c.Ordering = domain.SetTo("lifo") }, []string{"/ordering"}},
		"odd failure":       {func(c *change) { c.Ordering, c.OnFailure = domain.SetTo("fifo"), domain.SetTo("drop") }, []string{"/on_failure"}},
		"failure and none":  {func(c *change) { c.OnFailure = domain.SetTo("skip") }, []string{"/on_failure"}},
		"failure and key":   {func(c *change) { c.Ordering, c.OnFailure = domain.SetTo("key"), domain.SetTo("block") }, []string{"/on_failure"}},
		"many steps":        {func(c *change) { c.RetrySchedule = domain.SetTo(texts(31, "1h")) }, []string{"/retry/schedule"}},
		"steps out of it":   {func(c *change) { c.RetrySchedule = domain.SetTo([]string{"999ms", "1s", "72h1ms", "-5s", "0"}) }, []string{"/retry/schedule/0", "/retry/schedule/2", "/retry/schedule/3", "/retry/schedule/4"}},
		"no durations":      {func(c *change) { c.RetrySchedule = domain.SetTo([]string{"5", "", "1d", "1h", "soon"}) }, []string{"/retry/schedule/0", "/retry/schedule/1", "/retry/schedule/2", "/retry/schedule/4"}},
		"statuses":          {func(c *change) { c.RetryFinal = domain.SetTo([]int{299, 404, 600, 404, -1}) }, []string{"/retry/final/0", "/retry/final/2", "/retry/final/3", "/retry/final/4"}},
		"small secret":      {func(c *change) { c.Secret = domain.SetTo(secretOf(23)) }, []string{"/secret"}},
		"large secret":      {func(c *change) { c.Secret = domain.SetTo(secretOf(65)) }, []string{"/secret"}},
		"bare secret":       {func(c *change) { c.Secret = domain.SetTo(strings.TrimPrefix(secretOf(32), "whsec_")) }, []string{"/secret"}},
		"odd secret":        {func(c *change) { c.Secret = domain.SetTo("whsec_" + strings.Repeat("ä", 20)) }, []string{"/secret"}},
		"secret with lines": {func(c *change) { c.Secret = domain.SetTo(secretOf(32) + "\n") }, []string{"/secret"}},
		"before the first":  {func(c *change) { c.FromSeq = domain.SetTo(0) }, []string{"/from_seq"}},
		"several": {func(c *change) {
			c.URL, c.Rate, c.Secret = domain.SetTo("x"), domain.SetTo(-1), domain.SetTo("x")
		}, []string{"/url", "/rate", "/secret"}},
	} {
		e, err := domain.NewEndpoint(uuid.New(), said(c.set), domain.EndpointRules{})
		if c.wrong == nil {
			require.NoError(t, err, name)
			continue
		}
		require.Equal(t, c.wrong, pointers(t, err), name)
		require.Zero(t, e)
	}
}

func TestEndpointHeaders(t *testing.T) {
	t.Parallel()
	rules := domain.EndpointRules{CheckHeader: func(name, value string) string {
		if strings.EqualFold(name, "host") || value == "bad" {
			return "is set by the service"
		}
		return ""
	}}
	e := domain.Endpoint{URL: hookURL, Ordering: domain.OrderingNone}
	set := func(headers map[string]*string) error {
		return new(domain.EndpointChange{Headers: domain.SetTo(headers)}).Apply(&e, rules, time.Time{})
	}
	require.NoError(t, set(map[string]*string{"x-token": new("1"), "X-Other": new("2")}))
	require.Equal(t, map[string]string{"X-Token": "1", "X-Other": "2"}, e.Headers)
	before := e.Headers
	require.NoError(t, set(map[string]*string{"X-TOKEN": new("3"), "x-third": new(""), "X-Other": new(domain.HeaderKept)}))
	require.Equal(t, map[string]string{"X-Token": "3", "X-Other": "2", "X-Third": ""}, e.Headers)
	require.Equal(t, map[string]string{"X-Token": "1", "X-Other": "2"}, before, "nobody else's map is changed")
	require.NoError(t, set(map[string]*string{"x-third": nil, "X-Never": nil}))
	require.Equal(t, map[string]string{"X-Token": "3", "X-Other": "2"}, e.Headers)
	require.NoError(t, set(map[string]*string{}))
	require.Len(t, e.Headers, 2)

	for name, c := range map[string]struct {
		headers map[string]*string
		wrong   []string
	}{
		"refused":  {map[string]*string{"Host": new("a"), "X-A": new("bad"), "X-B": new("good")}, []string{"/headers/Host", "/headers/X-A"}},
		"twice":    {map[string]*string{"X-A": new("1"), "x-a": new("2")}, []string{"/headers/x-a"}},
		"gone":     {map[string]*string{"X-A": nil, "x-a": new("2")}, []string{"/headers/x-a"}},
		"kept":     {map[string]*string{"X-Never": new("***")}, []string{"/headers/X-Never"}},
		"escaped":  {map[string]*string{"a/b~c": new("bad")}, []string{"/headers/a~1b~0c"}},
		"too long": {map[string]*string{strings.Repeat("x", 1000): new("bad")}, []string{"/headers/" + strings.Repeat("x", 91) + "..."}},
	} {
		require.Equal(t, c.wrong, pointers(t, set(c.headers)), name)
		require.Equal(t, map[string]string{"X-Token": "3", "X-Other": "2"}, e.Headers)
	}
	whole := domain.EndpointChange{Headers: domain.SetTo(map[string]*string{"X-TOKEN": new("***"), "X-New": new("n"), "X-Gone": nil})}
	replaced := e
	require.NoError(t, new(whole.WithDefaults()).Apply(&replaced, rules, time.Time{}))
	require.Equal(t, map[string]string{"X-Token": "3", "X-New": "n"}, replaced.Headers)

	many := make(map[string]*string)
	for i := range 18 {
		many[fmt.Sprintf("X-%d", i)] = new("v")
	}
	require.NoError(t, set(maps.Clone(many)))
	require.Equal(t, []string{"/headers"}, pointers(t, set(map[string]*string{"X-Last": new("v")})))
	require.NoError(t, new(domain.EndpointChange{Headers: domain.Setting[map[string]*string]{Said: true}}).Apply(&e, rules, time.Time{}))
	require.Nil(t, e.Headers)
}

func TestChangeOfAnEndpoint(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	full, err := domain.NewEndpoint(uuid.New(), said(func(c *domain.EndpointChange) {
		c.Description, c.ExternalID, c.Types = domain.SetTo("text"), domain.SetTo("erp"), domain.SetTo([]string{"order.*"})
		c.TimeoutMS, c.Concurrency, c.Rate = domain.SetTo(100), domain.SetTo(9), domain.SetTo(10)
		c.Ordering, c.OnFailure = domain.SetTo("fifo"), domain.SetTo("skip")
		c.RetrySchedule, c.RetryFinal = domain.SetTo([]string{"1s"}), domain.SetTo([]int{404})
		c.Headers = domain.SetTo(map[string]*string{"X-A": new("1")})
	}), domain.EndpointRules{})
	require.NoError(t, err)
	apply := func(e domain.Endpoint, c domain.EndpointChange) domain.Endpoint {
		t.Helper()
		require.NoError(t, c.Apply(&e, domain.EndpointRules{}, now))
		return e
	}
	require.Equal(t, full, apply(full, domain.EndpointChange{}), "what is not said stays")
	require.Equal(t, full, apply(full, domain.EndpointChange{Secret: domain.SetTo(domain.FormatSecret(full.Secret))}))

	// All of it back to its defaults, but the secret.
	plain := apply(full, new(domain.EndpointChange).WithDefaults())
	require.Equal(t, domain.Endpoint{
		ID: full.ID, TenantID: full.TenantID, URL: hookURL, Timeout: domain.DefaultEndpointTimeout, Ordering: domain.OrderingNone,
		OnFailure: domain.FailureBlocks, Retry: domain.DefaultRetryPolicy(), Secret: full.Secret, Status: domain.EndpointActive,
	}, plain)
	again := domain.EndpointChange{Rate: domain.SetTo(5)}
	require.Equal(t, 5, apply(full, again.WithDefaults()).Rate)
	require.False(t, again.Types.Said, "the change itself stays as it is")

	// What has a meaning with an ordering only goes with it.
	require.Equal(t, domain.FailureBlocks, apply(full, domain.EndpointChange{Ordering: domain.SetTo("key")}).OnFailure)
	require.Equal(t, domain.FailureSkips, apply(full, domain.EndpointChange{Ordering: domain.SetTo("fifo")}).OnFailure)
	unordered := apply(full, domain.EndpointChange{Ordering: domain.SetTo("none")})
	err = new(domain.EndpointChange{OnFailure: domain.SetTo("block")}).Apply(&unordered, domain.EndpointRules{}, now)
	require.Equal(t, []string{"/on_failure"}, pointers(t, err))

	// Of the policy one part stays when the other is set.
	changed := apply(full, domain.EndpointChange{RetrySchedule: domain.SetTo([]string{})})
	require.Equal(t, domain.RetryPolicy{Schedule: []time.Duration(nil), Final: []int{404}}, changed.Retry)
	changed = apply(full, domain.EndpointChange{RetryFinal: domain.Setting[[]int]{Said: true}})
	require.Equal(t, domain.RetryPolicy{Schedule: []time.Duration{time.Second}}, changed.Retry)

	// Another secret lets the one before sign along.
	changed = apply(full, domain.EndpointChange{Secret: domain.SetTo(secretOf(24))})
	require.Equal(t, full.Secret, changed.OldSecret)
	require.Equal(t, now.Add(24*time.Hour), changed.OldSecretUntil)
	require.Equal(t, [][]byte{changed.Secret, full.Secret}, changed.Secrets(now))

	for _, c := range []domain.EndpointChange{{URL: domain.Setting[string]{Said: true}}, {URL: domain.SetTo("")}} {
		e := full
		require.Equal(t, []string{"/url"}, pointers(t, c.Apply(&e, domain.EndpointRules{}, now)))
		require.Equal(t, full, e)
	}
}

func TestChangeOfAnUnreadableEndpoint(t *testing.T) {
	t.Parallel()
	e := domain.Endpoint{URL: hookURL, Ordering: domain.OrderingNone, Unreadable: true}
	require.NoError(t, new(domain.EndpointChange{Rate: domain.SetTo(5)}).Apply(&e, domain.EndpointRules{}, time.Time{}))
	require.True(t, e.Unreadable)
	secret, headers := domain.SetTo(secretOf(24)), domain.Setting[map[string]*string]{Said: true}
	for _, c := range []domain.EndpointChange{{Secret: secret}, {Headers: headers}} {
		before := e
		err := c.Apply(&e, domain.EndpointRules{}, time.Time{})
		require.ErrorIs(t, err, domain.ErrConflict)
		require.Equal(t, "endpoint_unreadable", domain.CodeOf(err))
		require.Equal(t, before, e)
	}
	require.NoError(t, new(domain.EndpointChange{Secret: secret, Headers: headers}).Apply(&e, domain.EndpointRules{}, time.Time{}))
	require.False(t, e.Unreadable)
	require.Len(t, e.Secrets(time.Time{}), 1)
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	for _, size := range []int{24, 25, 26, 64} {
		secret := []byte(strings.Repeat("s", size))
		text := domain.FormatSecret(secret)
		for _, spelling := range []string{text, strings.TrimRight(text, "=")} {
			got, problem := domain.ParseSecret(spelling)
			require.Empty(t, problem)
			require.Equal(t, secret, got)
		}
	}
	now := time.Now()
	e := domain.Endpoint{Secret: []byte("new"), OldSecret: []byte("old"), OldSecretUntil: now.Add(time.Second)}
	require.Len(t, e.Secrets(now), 2)
	require.Len(t, e.Secrets(now.Add(time.Second)), 1)
	require.ErrorIs(t, domain.EndpointUnreadable(), domain.ErrConflict)
}
