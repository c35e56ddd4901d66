//go:build browser

package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"lanekeeper/config"
)

// elsewhere are pages of two other origins than the service's: other ports of this machine.
// One of them may call the API and frame the console, the other may not.
type elsewhere struct{ listed, stranger *httptest.Server }

func newElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><html lang="en"><title>A product</title><h1>A product</h1>`)
	})
	e := &elsewhere{httptest.NewServer(page), httptest.NewServer(page)}
	t.Cleanup(e.listed.Close)
	t.Cleanup(e.stranger.Close)
	return e
}

// allow configures the service to have its say.
func (e *elsewhere) allow(c *config.Config) {
	c.CORSOrigins = []string{e.listed.URL}
	c.Portal = config.Portal{FrameAncestors: []string{e.listed.URL}, Name: "Acme Cloud", Color: "#ffcc00"}
}

func (e *elsewhere) environment() []string {
	return []string{"LANEKEEPER_LISTED=" + e.listed.URL, "LANEKEEPER_STRANGER=" + e.stranger.URL}
}
