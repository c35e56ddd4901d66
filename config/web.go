package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// checkOrigins accepts origins as browsers send them (RFC 6454 section 6.2):
// each has to be named, for a page of any other one acts with what its reader
// has. In open mode there must be none.
func checkOrigins(origins []string, openMode bool) error {
	if len(origins) > 0 && openMode {
		return errors.New("must be empty in open mode, in which every caller is admin; set jwt_secret")
	}
	return checkOriginList(origins)
}

// hostCharacters are those that a host with its port has. Lists of origins go into headers
// in which others would mean something.
const hostCharacters = "abcdefghijklmnopqrstuvwxyz0123456789-._:[]"

// checkOriginList accepts origins, each of which is named.
func checkOriginList(origins []string) error {
	for _, origin := range origins {
		if strings.Contains(origin, "*") {
			return errors.New("must name each origin, without *")
		}
		u, err := parseURL(origin, "http", "https")
		if err != nil || u.Hostname() == "" || u.Scheme+"://"+strings.ToLower(u.Host) != origin || strings.HasSuffix(u.Host, ":") || strings.ContainsFunc(u.Host, func(r rune) bool { return !strings.ContainsRune(hostCharacters, r) }) {
			return errors.New("must list origins as browsers send them: scheme://host[:port] in small letters, with nothing behind it, such as https://app.example.com")
		}
		if standard := map[string]string{"http": "80", "https": "443"}; u.Port() == standard[u.Scheme] {
			return fmt.Errorf("must leave out the port of an origin that is the usual one of its scheme: browsers do, in %q", origin)
		}
	}
	return nil
}

// checkTLSFile checks one of the two files of TLS, of which the other is named.
func checkTLSFile(path, otherKey, other string) error {
	if path == "" {
		if other != "" {
			return fmt.Errorf("must be set when %s is; set both or neither", otherKey)
		}
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return errors.New("names a file that is not there or cannot be read")
	}
	return file.Close() //nolint:wrapcheck // does not fail
}
