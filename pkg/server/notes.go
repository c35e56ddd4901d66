package server

import "fmt"

// hints tells how to reach the private servers.
func (s *Server) hints(commands []string) {
	fmt.Fprintln(s.notes, "\nThe private servers can be reached with:")
	for _, command := range commands {
		fmt.Fprintln(s.notes, "  "+command)
	}
	fmt.Fprintln(s.notes)
}

// firstSteps tells whoever tries the service on a machine of his own where
// everything is.
func (s *Server) firstSteps() {
	if !s.config.PrivateServers() && !s.config.OpenMode() {
		return
	}
	url := s.URL()
	fmt.Fprintf(s.notes, `
Lanekeeper is ready.
  API        %[1]s/api
  Swagger    %[1]s/swagger/index.html
  Health     %[1]s/readyz
  Metrics    %[1]s/metrics

Try it:
  curl -X POST %[1]s/api/tenants -H 'Content-Type: application/json' -d '{"name":"First tenant"}'

`, url)
}
