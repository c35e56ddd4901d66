package domain_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestEndpointURLs(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"https://example.com", "http://example.com:8080/a?b=c", "https://[2606:4700::1111]/", "http://10.0.0.1/",
		"https://example.com/" + strings.Repeat("x", domain.MaxEndpointURLLength-20), "HTTPS://EXAMPLE.COM/",
	} {
		require.Empty(t, domain.CheckEndpointURL(text), text)
	}
	for _, text := range []string{
		"", "example.com", "/path", "ftp://example.com", "file:///etc/passwd", "gopher://a", "javascript:alert(1)", "http:example.com",
		"http://", "http:///path", "https://:443/", "https://user@example.com", "https://user:pass@example.com", "https://example.com/#a",
		"https://example.com#", "http://exa mple.com", "http://[::1", "http://a\x00b", "http://a/\n", "://a", "http://%zz/",
		"https://example.com/" + strings.Repeat("x", domain.MaxEndpointURLLength-19),
	} {
		require.NotEmpty(t, domain.CheckEndpointURL(text), "%q", text)
	}
}

// What is stored is what is sent: a URL that would have to be changed on its
// way, or that can be read in two ways, is refused.
func TestEndpointURLsThatAreNotSentAsTheyAre(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"https://example.com/a%20b?c=d%20e", "https://example.com?x=1", "https://example.com/?", "https://example.com:65535/",
		"https://xn--bcher-kva.example/", "https://example.com./", "https://a_b.example/", "https://example.com/a[0]?b[]=c;d='e'&f=(g)*!$,:@",
		"https://example.com/..//a/./b?c=/?", "https://[2606:4700::1111]:8443/x", "https://8.8.8.8/", "https://1.example/", "http://localhost:1/",
		"https://example.com/%00%ff", "https://0x.example/", "https://a-b.example/~",
	} {
		require.Empty(t, domain.CheckEndpointURL(text), text)
	}
	for text, says := range map[string]string{
		"https://example.com/a?b=c d":                          "percent-encoded",
		"https://example.com/a b":                              "percent-encoded",
		"https://example.com/?a=\tb":                           "percent-encoded",
		"https://example.com/?a=\r\nHost:%20b":                 "percent-encoded",
		"https://example.com/\x7f":                             "percent-encoded",
		" https://example.com/":                                "http",
		"https://example.com/ ":                                "percent-encoded",
		"https://example.com/ü":                                "percent-encoded",
		"https://example.com/?a=ü":                             "percent-encoded",
		"https://example.com/?a=\xff":                          "percent-encoded",
		"https://example.com/\u00a0":                           "percent-encoded",
		"https://example.com/?a=\u2028":                        "percent-encoded",
		"https://example.com\\@evil.example/":                  "percent-encoded",
		"https:\\\\example.com/":                               "percent-encoded",
		"https://example.com/a|b":                              "percent-encoded",
		"https://example.com/?a={b}":                           "percent-encoded",
		"https://example.com/?a=<b>":                           "percent-encoded",
		"https://example.com/?a=\"b\"":                         "percent-encoded",
		"https://example.com/?a=`b`":                           "percent-encoded",
		"https://example.com/?a=b^c":                           "percent-encoded",
		"https://example.com/?a=%zz":                           "percent sign",
		"https://example.com/?a=100%":                          "percent sign",
		"https://example.com/%z":                               "percent sign",
		"https://bücher.example/":                              "xn--",
		"https://b%C3%BCcher.example/":                         "host",
		"https://example\u3002com/":                            "xn--",
		"https://ⓔxample.com/":                                 "xn--",
		"https://%65xample.com/":                               "host",
		"https://example.com%2f@evil.example/":                 "user name",
		"https://@example.com/":                                "user name",
		"https://:@example.com/":                               "user name",
		"https://example.com#":                                 "fragment",
		"https://example.com:0/":                               "port",
		"https://example.com:00443/":                           "port",
		"https://example.com:65536/":                           "port",
		"https://example.com:99999/":                           "port",
		"https://example.com:99999999999999999999":             "port",
		"https://example.com:/":                                "port",
		"https://example.com:+80/":                             "host",
		"https://[2606:4700::1111]:/":                          "port",
		"https://[2606:4700::1111]:0/":                         "port",
		"https://[fe80::1%25eth0]/":                            "host",
		"https://[fe80::1%eth0]/":                              "host",
		"https://[::ffff:8.8.8.8]/":                            "IPv4",
		"https://[::ffff:808:808]/":                            "IPv4",
		"https://[8.8.8.8]/":                                   "host",
		"https://[v1.a]/":                                      "host",
		"https://[]/":                                          "host",
		"https://[::1/":                                        "host",
		"https://::1/":                                         "host",
		"https://2130706433/":                                  "four decimal numbers",
		"https://0x7f000001/":                                  "four decimal numbers",
		"https://0X7F000001/":                                  "four decimal numbers",
		"https://017700000001/":                                "four decimal numbers",
		"https://127.1/":                                       "four decimal numbers",
		"https://0177.0.0.1/":                                  "four decimal numbers",
		"https://127.0.0.0x1/":                                 "four decimal numbers",
		"https://127.0.0.1./":                                  "four decimal numbers",
		"https://8.8.8.8.8/":                                   "four decimal numbers",
		"https://999.1.1.1/":                                   "four decimal numbers",
		"https://example.0x/":                                  "four decimal numbers",
		"https://./":                                           "host",
		"https://a..b/":                                        "host",
		"https://.example.com/":                                "host",
		"https://example.com../":                               "host",
		"https://-a.example/":                                  "host",
		"https://a-.example/":                                  "host",
		"https://a,b.example/":                                 "host",
		"https://a;b/":                                         "host",
		"https://a*b.example/":                                 "host",
		"https://a'b/":                                         "host",
		"https://" + strings.Repeat("a", 64) + ".example/":     "host",
		"https://" + strings.Repeat("a.", 127) + "example.com": "host",
		"https://?a=b":                                         "host",
		"https:///a":                                           "host",
		"https:example.com":                                    "host",
		"//example.com/":                                       "http",
		"https//example.com":                                   "http",
		strings.Repeat("\xff", 2001):                           "2000 bytes",
	} {
		require.Contains(t, domain.CheckEndpointURL(text), says, "%q", text)
	}
}

// FuzzEndpointURL holds that whatever is accepted goes over the wire byte by
// byte as it was given.
func FuzzEndpointURL(f *testing.F) {
	for _, text := range []string{
		"https://example.com/a?b=c d", "https://example.com:99999/", "https://b\u00fccher.example/", "https://[fe80::1%25eth0]/",
		"https://0x7f.1/", "https://user@example.com/#a", "https://example.com?x=%2", "HTTP://A.b:080", "https://example.com/%2F/..;a?",
		"https://[::1]:443/\\", "https://a:1/[]?[]", "https://example.com/\x00",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if domain.CheckEndpointURL(text) != "" {
			return
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, text, http.NoBody)
		require.NoError(t, err)
		var wire strings.Builder
		require.NoError(t, request.Write(&wire))
		line, rest, _ := strings.Cut(wire.String(), "\r\n")
		host, _, _ := strings.Cut(rest, "\r\n")

		_, after, _ := strings.Cut(text, "://")
		authority, target := after, ""
		if at := strings.IndexAny(after, "/?"); at >= 0 {
			authority, target = after[:at], after[at:]
		}
		if !strings.HasPrefix(target, "/") {
			target = "/" + target
		}
		require.Equal(t, "POST "+target+" HTTP/1.1", line)
		require.Equal(t, "Host: "+authority, host)

		// Another reader, that of a server, finds the same in it.
		parsed, err := url.ParseRequestURI(target)
		require.NoError(t, err)
		require.Equal(t, parsed.RequestURI(), target)
	})
}
