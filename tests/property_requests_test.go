package tests

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"pgregory.net/rapid"

	"lanekeeper/tests/apptest"
)

// propertyRequest is a request before the ids are known that stand in it as $tenant
// and the like, so that the same seed makes the same one in every run.
type propertyRequest struct {
	method, path, query string
	// who calls; "" for somebody who may.
	who string
	// foreign: the ids are those of another owner's tenant.
	foreign bool
	// strayed: the path, or the method, is not that of the operation any more.
	strayed bool
	headers []apptest.Header
	body    *string
}

func (r *propertyRequest) String() string {
	body := "no body"
	if r.body != nil {
		body = fmt.Sprintf("%.2000q", *r.body)
	}
	return fmt.Sprintf("%s %s?%s by %q (foreign: %v) %.1000q %s", r.method, r.path, r.query, r.who, r.foreign, r.headers, body)
}

// requestMaker draws the parts of one request.
type requestMaker struct {
	t *rapid.T
	// odds say in how many of 16 places something is not as documented.
	odds int
}

// requests makes requests to an operation; with odds 0 they are as documented.
func (o *propertyOperation) requests(odds int) *rapid.Generator[propertyRequest] {
	return rapid.Custom(func(t *rapid.T) propertyRequest {
		m := requestMaker{t, odds}
		r := propertyRequest{method: o.method}
		_ = rapid.Bool().Draw(t, "so that something is drawn")
		r.path, r.strayed = m.path(o)
		if m.odd() {
			r.who = m.pick("who", "admin", "owner", "stranger", "viewer", "key", "nobody", "nonsense")
		}
		r.foreign = m.odd()
		r.query, r.headers = m.parameters(o)
		r.body = m.body(o, &r)
		if m.rarely() {
			r.method, r.strayed = m.pick("method", "TRACE", "PROPFIND", "LINK"), true
		}
		return r
	})
}

// chance is true n times of 16. What rapid draws as a number is more often small.
func (m requestMaker) chance(n int) bool {
	drawn := 0
	for range 4 {
		drawn <<= 1
		if rapid.Bool().Draw(m.t, "bit") {
			drawn++
		}
	}
	return drawn < n
}

func (m requestMaker) odd() bool { return m.odds > 0 && m.chance(m.odds) }

// rarely is odd for what would hide all else.
func (m requestMaker) rarely() bool { return m.odd() && m.chance(3) }

func (m requestMaker) pick(label string, from ...string) string {
	return rapid.SampledFrom(from).Draw(m.t, label)
}

// oddText is a text that some program somewhere takes for something else.
func (m requestMaker) oddText() string {
	return m.pick("odd text", append(hostileIDs(), "", " ", "0", "-0", "1e9", "9223372036854775808", "NaN", "true", "[]", "{}", "a\x00b", "\xff\xfe", "\r\n", "%zz", "$1", "%s%n",
		"2026-13-45", "0000-00-00T00:00:00Z", "9999-12-31T23:59:59Z", "+292277026596-12-04T15:30:07Z", "$tenant", "$message", "$user", "00000000-0000-0000-0000-000000000000",
		"0197a3a2-7d2c-7c3e-8f7e-0242ac120002", strings.Repeat("ä", 300))...)
}

// path returns the path of the operation with {id} and the like in it, and whether it
// may be that of another one.
func (m requestMaker) path(o *propertyOperation) (path string, strayed bool) {
	parts := strings.Split(o.path, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, "{") && m.odd() {
			text := m.oddText()
			parts[i] = url.PathEscape(text)
			strayed = strayed || text == "" || strings.ContainsAny(text, "/.") // as it may be cleaned
		}
	}
	return strings.Join(parts, "/"), strayed
}

// parameters returns a query and headers.
func (m requestMaker) parameters(o *propertyOperation) (query string, headers []apptest.Header) {
	var pairs []string
	optional := 5
	if m.odds == 0 {
		optional = 8
	}
	for _, ref := range o.document.Parameters {
		p := ref.Value
		value := func() string {
			if m.odd() {
				return m.oddText()
			}
			return strings.Trim(m.value(p.Schema.Value, p.Name, 0), `"`)
		}
		switch {
		case p.In == openapi3.ParameterInPath:
		case p.Name == "X-Tenant-ID":
			if !m.odd() {
				headers = append(headers, apptest.Header{p.Name, "$tenant"})
			} else if m.chance(8) {
				headers = append(headers, apptest.Header{p.Name, headerText(value())})
			}
		case p.In == openapi3.ParameterInHeader:
			if m.chance(optional) {
				headers = append(headers, apptest.Header{p.Name, headerText(value())})
			}
		case m.chance(optional) || p.Name == "tenant_id" && m.odd():
			pairs = append(pairs, p.Name+"="+url.QueryEscape(value()))
			if m.odd() {
				pairs = append(pairs, p.Name+"="+url.QueryEscape(value()))
			}
		}
	}
	if m.odd() {
		pairs = append(pairs, m.pick("odd query", "unknown=1", "limit", "%zz", "a;b=c", "=", "cursor=%00", "limit=%", "tenant_id=&tenant_id=", "ticket="+strings.Repeat("a", 5000)))
	}
	if m.odd() {
		headers = append(headers, apptest.Header{
			m.pick("header", "Content-Type", "Content-Encoding", "Accept", "X-Request-ID", "Origin", "X-Forwarded-For", "Idempotency-Key", "If-Match", "Range", "Last-Event-ID", "X-Tenant-ID", "Authorization", "Cookie"),
			headerText(m.pick("value", append([]string{"text/plain", "gzip", "application/json; charset=latin1", "*/*;q=x", "bytes=5-1", "Bearer ", "Basic YTpi", "https://elsewhere.invalid"}, m.oddText())...)),
		})
	}
	return strings.Join(pairs, "&"), headers
}

// headerText leaves out of a text what no header can have.
func headerText(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text)
}

// body returns a body for an operation that takes one, and sometimes for one that
// does not.
func (m requestMaker) body(o *propertyOperation, r *propertyRequest) *string {
	if o.document.RequestBody == nil {
		if !m.rarely() {
			return nil
		}
		text := m.nonsense(0)
		return &text
	}
	content := o.document.RequestBody.Value.Content
	schema := content["application/json"].Schema.Value
	text := o.example()
	if m.chance(11) {
		text = m.value(schema, "", 0)
	}
	if content["application/x-ndjson"] != nil && m.chance(6) {
		line := schema.Properties["messages"].Value.Items.Value
		lines := []string{m.value(line, "", 0), m.value(line, "", 0), m.pick("line", "1", "", "null", `{"payload":1}`)}
		text = strings.Join(lines, m.pick("end of a line", "\n", "\r\n", "\n\n"))
		r.headers = append(r.headers, apptest.Header{"Content-Type", "application/x-ndjson"})
	}
	if m.odd() {
		text = m.mangled(text)
	}
	if m.rarely() {
		return nil
	}
	return &text
}

// mangled returns a body that is broken as a whole.
func (m requestMaker) mangled(text string) string {
	switch m.pick("how", "cut", "more", "twice", "encoding", "mark", "other", "deep", "long", "longer") {
	case "cut":
		return text[:rapid.IntRange(0, len(text)).Draw(m.t, "at")]
	case "more":
		return text + m.pick("rest", "}", "{}", "x", "\x00", ",", " \n")
	case "twice":
		return strings.Replace(text, "{", "{"+strings.Trim(text, "{}")+",", 1)
	case "encoding":
		return strings.ReplaceAll(text, `":`, "\xff\":")
	case "mark":
		return "\ufeff" + text
	case "deep":
		return strings.Repeat(`{"a":[`, 300) + strings.Repeat("]}", 300)
	case "long":
		return `{"a":"` + strings.Repeat("x", 70_000) + `"}`
	case "longer":
		return `{"payload":"` + strings.Repeat("x", 1_200_000) + `"}`
	}
	return m.nonsense(0)
}

// nonsense is JSON, or nearly, of whatever kind.
func (m requestMaker) nonsense(depth int) string {
	if depth < 2 && m.chance(4) {
		return `{` + quoted(m.oddText()) + `:` + m.nonsense(depth+1) + `,"b":[` + m.nonsense(depth+1) + `]}`
	}
	return m.pick("nonsense", "null", "0", "-1", "1.5", "1e400", "9223372036854775807", "9223372036854775808", "true", `""`, `" "`, `"\u0000"`, `"\ud800"`, "\"\xff\"", "[]", "{}",
		"[null]", "[[[]]]", `{"a":1,"a":2}`, "01", "NaN", "", strings.Repeat("9", 400), `"`+strings.Repeat("x", 9000)+`"`, quoted(m.oddText()))
}

func quoted(text string) string {
	if strings.HasPrefix(text, "$") && len(text) > 2 { // an id, in which is nothing to be escaped
		return `"` + text + `"`
	}
	result, _ := json.Marshal(text) // never fails for text
	return string(result)
}

// value is JSON as the schema has it.
func (m requestMaker) value(s *openapi3.Schema, name string, depth int) string {
	if len(s.AllOf) > 0 {
		s = s.AllOf[0].Value
	}
	switch {
	case m.odd():
		return m.nonsense(depth)
	case s.Nullable && m.chance(3):
		return "null"
	case name == "url": // nobody else is to be called
		return quoted(m.pick("url", "http://127.0.0.1:1/hook", "http://127.0.0.1:1", "https://127.0.0.1:1/?a=b", "http://[::1]:1/hook"))
	case len(s.Enum) > 0:
		text, _ := json.Marshal(rapid.SampledFrom(s.Enum).Draw(m.t, name))
		return string(text)
	case s.Type.Is("string"):
		return quoted(m.text(s, name))
	case s.Type.Is("integer"):
		return m.number(s, name)
	case s.Type.Is("boolean"):
		return m.pick(name, "false", "true")
	case s.Type.Is("array"):
		var items []string
		for range rapid.IntRange(0, 3).Draw(m.t, "items") {
			items = append(items, m.value(s.Items.Value, name, depth+1))
		}
		return "[" + strings.Join(items, ",") + "]"
	case s.Type.Is("object"):
		return m.object(s, depth)
	}
	return m.pick(name, `{"tenant_id":"$tenant"}`, "1", "null", `"text"`, "[1.50, -0, 1e30]", `{"":{"":""}}`, `"💥\u2028"`)
}

func (m requestMaker) object(s *openapi3.Schema, depth int) string {
	var members []string
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if needed := slices.Contains(s.Required, name); needed && m.odd() || !needed && !m.chance(6) {
			continue
		}
		members = append(members, quoted(name)+":"+m.value(s.Properties[name].Value, name, depth+1))
	}
	if more := s.AdditionalProperties.Schema; more != nil {
		for i := range rapid.IntRange(0, 2).Draw(m.t, "more") {
			members = append(members, quoted(fmt.Sprint("name-", i))+":"+m.value(more.Value, "more", depth+1))
		}
	}
	if m.odd() {
		members = append(members, m.pick("member", `"unknown":1`, `"":null`, `"id":"$tenant"`, `"tenant_id":"$tenant"`, `"\u0000":0`))
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (m requestMaker) text(s *openapi3.Schema, name string) string {
	switch s.Format {
	case "uuid":
		return m.pick(name, "$tenant", "$endpoint", "$user", "0197a3a2-7d2c-7c3e-8f7e-0242ac120002")
	case "date-time":
		return m.pick(name, "2026-11-21T10:00:00Z", "2030-01-01T00:00:00.123456789+14:00", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z")
	case "date":
		return m.pick(name, "2026-11-21", "2026-11-30", "1970-01-01", "9999-12-31")
	}
	from := []string{"text", "0", "1", "$message", "ü💥", strings.Repeat("x", int(max(s.MinLength, 1)))}
	if example, ok := s.Example.(string); ok {
		from = append([]string{example}, from...)
	}
	if s.MaxLength != nil {
		from = append(from, strings.Repeat("x", int(*s.MaxLength)))
	}
	switch name {
	case "ticket":
		from = []string{"$ticket"}
	case "email":
		from = []string{"new-$fresh@example.com", "ada@example.com", "a@b"}
	case "password", "new":
		from = []string{"plum otter 91 lantern sky", apptest.Password, strings.Repeat("long ", 60)}
	case "tenant", "tenant_id":
		from = []string{"$tenant"}
	}
	return m.pick(name, from...)
}

func (m requestMaker) number(s *openapi3.Schema, name string) string {
	if name == "ids" {
		return m.pick(name, "$letter", "1", "9007199254740993")
	}
	from := []string{"1", "2", "100"}
	if s.Min != nil {
		from = append(from, fmt.Sprintf("%.0f", *s.Min))
	}
	if s.Max != nil {
		from = append(from, fmt.Sprintf("%.0f", *s.Max), fmt.Sprintf("%.0f", *s.Max-1))
	} else {
		from = append(from, "2147483648", "9223372036854775807")
	}
	if m.odd() {
		from = []string{"-1", "0", "1.5", "1e3", "99999999999999999999", "-9223372036854775809", `"1"`, "1001", "10001"}
	}
	return m.pick(name, from...)
}
