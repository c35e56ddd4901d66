package config

import (
	"net/url"
	"strings"
)

// mask stands for what is not printed.
const mask = "xxxxx"

// RedactURL returns a URL, or several separated by commas, without the
// passwords in it. What cannot be parsed is hidden as a whole.
func RedactURL(text string) string {
	if text == "" {
		return ""
	}
	parts := strings.Split(text, ",")
	if namesHosts(text) {
		parts = []string{text}
	}
	for i, part := range parts {
		u, err := url.Parse(strings.TrimSpace(part))
		if err != nil || u.Scheme == "" || u.Opaque != "" {
			return mask // a comma in a password has torn it apart, or it is no URL
		}
		if strings.Contains(u.EscapedPath()+"?"+u.RawQuery+"#"+u.EscapedFragment(), "@") {
			return mask // what is before it may be the end of a password
		}
		if query := u.Query(); query.Has("password") || query.Has("sslpassword") {
			for _, name := range []string{"password", "sslpassword"} {
				if query.Has(name) {
					query.Set(name, mask)
				}
			}
			u.RawQuery = query.Encode()
		}
		parts[i] = u.Redacted()
	}
	return strings.Join(parts, ",")
}

// namesHosts reports whether all commas of a URL are between its hosts, as in
// postgres://one,two/db. Any other may be part of a password.
func namesHosts(text string) bool {
	u, err := url.Parse(text)
	return err == nil && strings.Contains(u.Host, ",") && strings.Count(u.Host, ",") == strings.Count(text, ",")
}
