package deploy_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// directive is one of nginx's, with where it stands.
type directive struct {
	block string // such as "server" or "server/location @away"
	name  string
	words []string
}

// directives reads a configuration of nginx, as far as this one goes: no
// semicolons, braces or # in quotes but in the texts of return.
func directives(t *testing.T, text string) []directive {
	t.Helper()
	text = regexp.MustCompile(`(?m)^\s*#.*$`).ReplaceAllString(text, "")
	text = regexp.MustCompile(`'[^']*'|"[^"]*"`).ReplaceAllStringFunc(text, func(quoted string) string {
		return regexp.MustCompile(`[{};\s]`).ReplaceAllString(quoted, "_")
	})
	var found []directive
	var blocks []string
	for _, part := range regexp.MustCompile(`[^{};]*[{};]`).FindAllString(text, -1) {
		end := part[len(part)-1]
		words := strings.Fields(part[:len(part)-1])
		switch {
		case end == '{':
			blocks = append(blocks, strings.Join(words, " "))
		case end == '}':
			require.NotEmpty(t, blocks)
			blocks = blocks[:len(blocks)-1]
		case len(words) > 0:
			found = append(found, directive{strings.Join(blocks, "/"), words[0], words[1:]})
		}
	}
	require.Empty(t, blocks)
	return found
}

// forwarded returns what is wrong with how nginx says for whom it calls. What a
// caller says about himself must not get through, or he would have as many
// addresses as he likes.
func forwarded(all []directive) (wrong []string) {
	replaced, passes := false, 0
	for _, d := range all {
		switch d.name {
		case "proxy_set_header":
			if d.block != "server" { // it would replace all that the server has
				wrong = append(wrong, "a block of its own: "+d.block)
			}
			if strings.EqualFold(d.words[0], "X-Forwarded-For") {
				replaced = replaced || len(d.words) == 2 && d.words[1] == "$remote_addr"
			}
			if strings.Contains(strings.Join(d.words, " "), "x_forwarded_for") {
				wrong = append(wrong, "what came is passed on")
			}
		case "proxy_pass":
			passes++
		case "real_ip_header", "set_real_ip_from":
			wrong = append(wrong, "the address itself is taken from a header")
		}
	}
	if !replaced {
		wrong = append(wrong, "X-Forwarded-For is not replaced")
	}
	if passes == 0 {
		wrong = append(wrong, "nothing is passed on")
	}
	return wrong
}

// Behind the shipped nginx nobody gets new addresses by an X-Forwarded-For that
// rotates.
func TestNginxReplacesForwardedFor(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("nginx/fleet.conf")
	require.NoError(t, err)
	require.Empty(t, forwarded(directives(t, string(text))))
	for _, mistake := range []struct{ old, new string }{
		{"X-Forwarded-For   $remote_addr;", "X-Forwarded-For   $proxy_add_x_forwarded_for;"},
		{"X-Forwarded-For   $remote_addr;", "X-Forwarded-For   $http_x_forwarded_for;"},
		{"proxy_set_header X-Forwarded-For   $remote_addr;", ""},
		{"proxy_buffering    off;", "proxy_buffering off; proxy_set_header Host $host;"},
		{"server_tokens off;", "set_real_ip_from 0.0.0.0/0;"},
	} {
		require.Equal(t, 1, strings.Count(string(text), mistake.old))
		require.NotEmpty(t, forwarded(directives(t, strings.Replace(string(text), mistake.old, mistake.new, 1))), mistake.new)
	}
}
