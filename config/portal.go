package config

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	// maxPortalName is in characters.
	maxPortalName = 60
	// maxLogo is in bytes: it is in an answer that everybody gets who opens a portal.
	maxLogo = 32 << 10
	svgType = "image/svg+xml"
)

// Portal configures what those see and may do who come with a portal link.
type Portal struct {
	// FrameAncestors are the origins whose pages may frame the console.
	FrameAncestors []string
	// Name is that of the product, Color the accent as #rrggbb, and Logo a file with an
	// image; each may be empty.
	Name  string
	Color string
	Logo  string
}

// LogoURL returns the logo as a data: URL, which needs no other request and no other
// host; "" for none. The error is about the file.
func (p Portal) LogoURL() (string, error) {
	if p.Logo == "" {
		return "", nil
	}
	file, err := os.Open(p.Logo)
	if err != nil {
		return "", errors.New("names a file that is not there or cannot be read")
	}
	defer file.Close()
	image, err := io.ReadAll(io.LimitReader(file, maxLogo+1))
	switch {
	case err != nil:
		return "", errors.New("names a file that cannot be read")
	case len(image) > maxLogo:
		return "", fmt.Errorf("names a file of more than %d KiB", maxLogo>>10)
	}
	media := imageType(image)
	if media == "" {
		return "", errors.New("must name a PNG, JPEG, WebP or SVG file")
	}
	return "data:" + media + ";base64," + base64.StdEncoding.EncodeToString(image), nil
}

// imageType returns the type of an image by what is in it; "" for one that is not known.
func imageType(image []byte) string {
	switch media := http.DetectContentType(image); {
	case media == "image/png", media == "image/jpeg", media == "image/webp":
		return media
	case strings.HasPrefix(media, "text/") && bytes.Contains(image, []byte("<svg")) && utf8.Valid(image):
		return svgType // as an image it runs no script and loads nothing
	}
	return ""
}

func (p *Portal) checkLogo() error {
	_, err := p.LogoURL()
	return err
}

func (p *Portal) checkName() error {
	if utf8.RuneCountInString(p.Name) > maxPortalName || !utf8.ValidString(p.Name) || strings.ContainsFunc(p.Name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("must have at most %d characters and no control characters", maxPortalName)
	}
	return nil
}

func (p *Portal) checkColor() error {
	if p.Color != "" && !regexp.MustCompile("^#[0-9a-fA-F]{6}$").MatchString(p.Color) {
		return errors.New(`must be a colour such as "#0a66c2": # and six hexadecimal digits`)
	}
	return nil
}
