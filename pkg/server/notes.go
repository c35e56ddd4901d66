package server

import (
	"fmt"
	"io"
	"strings"

	"lanekeeper/config"
)

// writeHints writes how to reach the private servers.
func writeHints(to io.Writer, commands []string) {
	fmt.Fprintln(to, "\nThe private servers can be reached with:")
	for _, command := range commands {
		fmt.Fprintln(to, "  "+command)
	}
	fmt.Fprintln(to)
}

// firstSteps is for people who try the service on their own machine: where
// everything is, and how to get a token where one is needed.
type firstSteps struct {
	config          config.Config
	url, metricsURL string // without a path
}

func (w firstSteps) write(to io.Writer) {
	fmt.Fprintf(to, `
Lanekeeper is ready.
  API        %[1]s/api
  Swagger    %[1]s/swagger/index.html
  Health     %[1]s/readyz
  Metrics    %[2]s/metrics
`, w.url, w.metricsURL)
	authorization := ""
	if !w.config.OpenMode() {
		authorization = ` -H "Authorization: Bearer $TOKEN"`
		fmt.Fprintf(to, `
Calls need a token. Make a user, and get one for it, with the same JWT_SECRET:
  export DATABASE_URL=%s
  LANEKEEPER_PASSWORD='a long password' lanekeeper user add -email you@example.com -role admin
  TOKEN=$(lanekeeper token -email you@example.com)
`, quoted(config.RedactURL(w.config.Database.URL)))
	}
	fmt.Fprintf(to, `
Try it:
  curl -X POST %s/api/tenants%s -H 'Content-Type: application/json' -d '{"name":"First tenant"}'

`, w.url, authorization)
}

// quoted returns text as one word for a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
