package server

import (
	"fmt"
	"io"
	"os"
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
	url, metricsURL string // without a path; there may be no metrics
	environmentFile string // of the private servers
}

func (w firstSteps) write(to io.Writer) {
	fmt.Fprintf(to, `
Lanekeeper is ready.
  Console    %[1]s/console/
  API        %[1]s/api
  Swagger    %[1]s/swagger/index.html
  Health     %[1]s/readyz
`, w.url)
	if w.metricsURL != "" {
		fmt.Fprintf(to, "  Metrics    %s/metrics\n", w.metricsURL)
	}
	if w.config.Delivery.AllowLocal {
		fmt.Fprintf(to, "  Demo       %s    in another terminal: three tenants with messages, and endpoints that fail\n", w.demo())
	}
	authorization := ""
	if !w.config.OpenMode() {
		authorization = ` -H "Authorization: Bearer $TOKEN"`
		database := "export DATABASE_URL=" + quoted(config.RedactURL(w.config.Database.URL))
		if w.environmentFile != "" {
			database = ". " + quoted(w.environmentFile)
		}
		fmt.Fprintf(to, `
Calls need a token. Make a user, and get one for it, with the same JWT_SECRET:
  %s
  LANEKEEPER_PASSWORD='12 characters or more, hard to guess' lanekeeper user add --email you@example.com --role admin
  TOKEN=$(lanekeeper token --email you@example.com)
`, database)
	}
	fmt.Fprintf(to, `
Try it:
  curl -X POST %s/api/tenants%s -H 'Content-Type: application/json' -d '{"name":"First tenant"}'

`, w.url, authorization)
}

// demo returns the command that shows this service at work.
func (w firstSteps) demo() string {
	command := "lanekeeper demo"
	if program, err := os.Executable(); err == nil {
		command = program + " demo"
	}
	if w.url != "http://127.0.0.1:8080" { // where commands look for a service
		command += " --url " + w.url
	}
	return command
}

// quoted returns text as one word for a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
