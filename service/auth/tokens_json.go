package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

const (
	// maxTokenDepth and maxTokenNames bound the JSON in a token: our own have
	// a depth of one, and fewer than ten names.
	maxTokenDepth = 8
	maxTokenNames = 64
)

var errAmbiguous = errors.New("the token can be read in more than one way")

// checkUnambiguous refuses a token that somebody else may read differently:
// with a name that occurs twice, of which encoding/json takes the last and
// others the first; with a claim that encoding/json finds under its name in
// other letters; with something after its JSON; or with an extension that has
// to be understood (RFC 7515, section 4.1.11), of which none is. It allocates
// little, because nothing is verified yet.
func checkUnambiguous(signed string) error {
	if strings.Count(signed, ".") != 2 {
		return errAmbiguous
	}
	header, rest, _ := strings.Cut(signed, ".")
	payload, _, _ := strings.Cut(rest, ".")
	if err := checkPart(header, func(name string) bool { return name != "crit" && name != "b64" }); err != nil {
		return err
	}
	return checkPart(payload, isPlainClaim)
}

// isPlainClaim refuses names that would be taken for a claim of ours that is
// written otherwise.
func isPlainClaim(name string) bool {
	for _, ours := range [...]string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "role", "tenant_id", "ver", "scope", "key_id", "links"} {
		if name != ours && strings.EqualFold(name, ours) {
			return false
		}
	}
	return true
}

// checkPart checks the JSON object in one part of a token. Allowed is asked
// for the names of the object itself.
func checkPart(part string, allowed func(name string) bool) error {
	text, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil || !utf8.Valid(text) {
		return errAmbiguous
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if begin, err := decoder.Token(); err != nil || begin != json.Delim('{') {
		return errAmbiguous
	}
	left := maxTokenNames
	if err := checkObject(decoder, 1, &left, allowed); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errAmbiguous
	}
	return nil
}

// checkObject reads an object of which the beginning has been read.
func checkObject(decoder *json.Decoder, depth int, left *int, allowed func(name string) bool) error {
	var names []string
	for {
		token, err := decoder.Token()
		if err != nil {
			return errAmbiguous
		}
		name, isName := token.(string)
		if !isName {
			return nil // the end of the object
		}
		for _, earlier := range names {
			if strings.EqualFold(earlier, name) {
				return errAmbiguous
			}
		}
		if *left--; *left < 0 || !allowed(name) {
			return errAmbiguous
		}
		names = append(names, name)
		if err := checkValue(decoder, depth, left); err != nil {
			return err
		}
	}
}

func checkValue(decoder *json.Decoder, depth int, left *int) error {
	token, err := decoder.Token()
	if err != nil || depth >= maxTokenDepth {
		return errAmbiguous
	}
	switch token {
	case json.Delim('{'):
		return checkObject(decoder, depth+1, left, func(string) bool { return true })
	case json.Delim('['):
		for decoder.More() {
			if err := checkValue(decoder, depth+1, left); err != nil {
				return err
			}
		}
		if _, err := decoder.Token(); err != nil {
			return errAmbiguous
		}
	}
	return nil
}
