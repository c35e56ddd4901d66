package contentcoding

import (
	"math"
	"strconv"
	"strings"
)

// WantsGzip reports whether a client takes gzip, and likes it no less than what is not
// compressed (RFC 9110, section 12.5.3): sent are the values of Accept-Encoding.
func WantsGzip(sent []string) bool {
	gzipped, identity, others := -1.0, -1.0, -1.0
	for _, list := range sent {
		for item := range strings.SplitSeq(list, ",") {
			name, weight, _ := strings.Cut(item, ";")
			q := weightOf(weight)
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "gzip", "x-gzip":
				gzipped = q
			case "identity":
				identity = q
			case "*":
				others = q
			}
		}
	}
	if gzipped < 0 {
		gzipped = others
	}
	return gzipped > 0 && gzipped >= identity
}

// weightOf returns the weight that parameters give; 1 where they give none, and 0 for
// what is no weight.
func weightOf(parameters string) float64 {
	name, value, given := strings.Cut(parameters, "=")
	if !given || !strings.EqualFold(strings.TrimSpace(name), "q") {
		return 1
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || math.IsNaN(q) || q < 0 || q > 1 {
		return 0
	}
	return q
}
