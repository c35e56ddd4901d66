package config

import (
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
)

// mask stands for what is not printed.
const mask = "xxxxx"

// Redacted returns a copy that may be printed: without secrets, and with URLs
// without their passwords.
func (c Config) Redacted() Config {
	c.JWTSecrets = slices.Clone(c.JWTSecrets)
	for _, s := range c.settings() {
		switch value := s.value.(type) {
		case *string:
			switch {
			case s.hidden && *value != "":
				*value = mask
			case s.location:
				*value = RedactURL(*value)
			}
		case *[]string:
			for i := range *value {
				if s.hidden {
					(*value)[i] = mask
				}
			}
		}
	}
	return c
}

// String returns the redacted configuration as key=value pairs.
func (c Config) String() string {
	redacted := c.Redacted()
	var b strings.Builder
	for i, s := range redacted.settings() {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s=%v", s.key, s.current())
	}
	return b.String()
}

// GoString keeps %#v from printing secrets.
func (c Config) GoString() string { return "config.Config{" + c.String() + "}" }

// LogValue returns the redacted configuration as a group with one attribute a
// key.
func (c Config) LogValue() slog.Value {
	redacted := c.Redacted()
	var attrs []slog.Attr
	for _, s := range redacted.settings() {
		attrs = append(attrs, slog.Any(s.key, s.current()))
	}
	return slog.GroupValue(attrs...)
}

func (s setting) current() any {
	switch value := s.value.(type) {
	case *string:
		return *value
	case *int:
		return *value
	case *bool:
		return *value
	case *[]string:
		return *value
	case *time.Duration:
		return *value
	}
	return nil
}

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

// namesHosts tells whether all commas of a URL are between its hosts, as in
// postgres://one,two/db. Any other may be part of a password.
func namesHosts(text string) bool {
	u, err := url.Parse(text)
	return err == nil && strings.Contains(u.Host, ",") && strings.Count(u.Host, ",") == strings.Count(text, ",")
}
