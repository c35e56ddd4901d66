package server

import (
	"fmt"
	"net/url"
	"strings"

	"lanekeeper/config"
)

// hints tells how to reach the private servers.
func (s *Server) hints(commands []string) {
	fmt.Fprintln(s.notes, "\nThe private servers can be reached with:")
	for _, command := range commands {
		fmt.Fprintln(s.notes, "  "+command)
	}
	fmt.Fprintln(s.notes)
}

// firstSteps tells whoever tries the service on a machine of his own where
// everything is, and how to get a token where one is needed.
func (s *Server) firstSteps() {
	if !s.private && !s.config.OpenMode() {
		return
	}
	location := s.URL()
	fmt.Fprintf(s.notes, `
Lanekeeper is ready.
  API        %[1]s/api
  Swagger    %[1]s/swagger/index.html
  Health     %[1]s/readyz
  Metrics    %[2]s/metrics
`, location, s.metricsURL())
	authorization := ""
	if !s.config.OpenMode() {
		authorization = ` -H "Authorization: Bearer $TOKEN"`
		fmt.Fprintf(s.notes, `
Calls need a token. Make a user, and get one for it, with the same JWT_SECRET:
  export DATABASE_URL=%s
  LANEKEEPER_PASSWORD='a long password' lanekeeper user add -email you@example.com -role admin
  TOKEN=$(lanekeeper token -email you@example.com)
`, quoted(config.RedactURL(s.config.Database.URL)))
	}
	fmt.Fprintf(s.notes, `
Try it:
  curl -X POST %s/api/tenants%s -H 'Content-Type: application/json' -d '{"name":"First tenant"}'

`, location, authorization)
}

// metricsURL returns where metrics are, without a path.
func (s *Server) metricsURL() string {
	if s.admin == nil {
		return s.URL()
	}
	return (&url.URL{Scheme: "http", Host: reachable(s.admin.Addr().String())}).String()
}

// quoted returns text as one word for a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
