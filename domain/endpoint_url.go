package domain

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const (
	maxHostLength  = 253 // RFC 1035, without the length octets
	maxLabelLength = 63
	maxPort        = 65535
)

// CheckEndpointURL returns what is wrong with an endpoint's URL, or "". What is
// stored is what is sent: a URL is accepted in the form only in which it goes
// over the wire (RFC 3986), and a host only in a spelling that everybody reads
// in the same way.
func CheckEndpointURL(text string) string {
	switch {
	case text == "":
		return "must not be empty"
	case len(text) > MaxEndpointURLLength:
		return fmt.Sprintf("must have at most %d bytes", MaxEndpointURLLength)
	}
	scheme, rest, found := strings.Cut(text, ":")
	if !found || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return "must be an http or https URL with a host"
	}
	authority, target := "", strings.TrimPrefix(rest, "//")
	if strings.HasPrefix(rest, "//") {
		end := strings.IndexAny(target, `/?#`)
		if end < 0 {
			end = len(target)
		}
		authority, target = target[:end], target[end:]
	}
	if problem := checkCharacters(authority, target); problem != "" {
		return problem
	}
	switch {
	case strings.Contains(authority, "@"):
		return "must not carry a user name or a password"
	case strings.Contains(target, "#"):
		return "must not have a fragment"
	case authority == "":
		return "must be an http or https URL with a host"
	}
	if problem := checkAuthority(authority); problem != "" {
		return problem
	}
	// The library that sends has the last word.
	if u, err := url.Parse(text); err != nil || u.Host != authority || u.Opaque != "" {
		return "must be an http or https URL with a host"
	}
	return ""
}

// checkCharacters refuses what a client would have to encode, or would send as
// it is where it means something else: white space, control characters,
// backslashes, whatever is not ASCII.
func checkCharacters(authority, target string) string {
	for i := range len(authority) {
		if authority[i] >= 0x80 {
			return "must have its host in ASCII; write an international name in its xn-- form"
		}
	}
	for part := range strings.SplitSeq(authority+target, "") {
		if c := part[0]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			return fmt.Sprintf("must have the character %q percent-encoded", part)
		}
	}
	for rest := target; ; {
		_, after, found := strings.Cut(rest, "%")
		if !found {
			return ""
		}
		if len(after) < 2 || !isHex(after[0]) || !isHex(after[1]) {
			return "must have two hexadecimal digits after each percent sign; the sign itself is written %25"
		}
		rest = after
	}
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// checkAuthority checks host and port. Whether the address may be reached is
// decided at each transmission.
func checkAuthority(authority string) string {
	host, port, hasPort := strings.Cut(authority, ":")
	if strings.HasPrefix(authority, "[") {
		inner, after, closed := strings.Cut(authority[1:], "]")
		address, err := netip.ParseAddr(inner)
		switch {
		case !closed, err != nil, !address.Is6(), address.Zone() != "", after != "" && after[0] != ':':
			return "must have a host name or an address without a zone as its host"
		case address.Is4In6():
			return "must have an IPv4 address written as four decimal numbers, without brackets"
		}
		port, hasPort = strings.CutPrefix(after, ":")
	} else if problem := checkHostName(host); problem != "" {
		return problem
	}
	if !hasPort {
		return ""
	}
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' {
			return "must have a host name or an address without a zone as its host"
		}
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > maxPort || strconv.Itoa(n) != port {
		return fmt.Sprintf("must have a port between 1 and %d, without leading zeros, or none", maxPort)
	}
	return ""
}

// checkHostName accepts names of letters, digits, hyphens and underscores, and
// IPv4 addresses in the one spelling that every resolver reads alike: some take
// 127.1, 0x7f.1 and 2130706433 for addresses, others for names.
func checkHostName(host string) string {
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	if len(host) > maxHostLength {
		return "must have a host name of at most 253 characters"
	}
	for _, label := range labels {
		if label == "" || len(label) > maxLabelLength || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notInLabel) {
			return "must have a host name of letters, digits and hyphens, or an address, as its host"
		}
	}
	last := strings.ToLower(labels[len(labels)-1])
	digits, hex := strings.CutPrefix(last, "0x")
	numeric := strings.Trim(last, "0123456789") == "" || hex && strings.Trim(digits, "0123456789abcdef") == ""
	if address, err := netip.ParseAddr(host); numeric && (err != nil || !address.Is4()) {
		return "must have an IPv4 address written as four decimal numbers"
	}
	return ""
}

func notInLabel(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_'
}
