package docs

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// server is a server as OpenAPI has it.
type server struct {
	URL         string `json:"url"`
	Description string `json:"description"`
}

// Served returns OpenAPI for a service that clients reach at url, without /api, and in
// which, in open mode, calls need no token. Where url is "" it names no other server than
// the one that the document was read from.
func Served(url string, open bool) ([]byte, error) {
	var document map[string]json.RawMessage
	if err := json.Unmarshal(OpenAPI, &document); err != nil {
		return nil, fmt.Errorf("read openapi.json: %w", err)
	}
	var servers []server
	if err := json.Unmarshal(document["servers"], &servers); err != nil {
		return nil, fmt.Errorf("read the servers of openapi.json: %w", err)
	}
	var security []map[string][]string
	if err := json.Unmarshal(document["security"], &security); err != nil {
		return nil, fmt.Errorf("read the security of openapi.json: %w", err)
	}
	if open {
		security = append(security, map[string][]string{})
	}
	if url != "" {
		servers = append([]server{{url + servers[0].URL, "As it is configured (app_url)"}}, servers...)
	}
	for name, value := range map[string]any{"servers": servers, "security": security} {
		encoded, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("write openapi.json: %w", err)
		}
		document[name] = encoded
	}
	compact, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("write openapi.json: %w", err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, compact, "", "  "); err != nil {
		return nil, fmt.Errorf("write openapi.json: %w", err)
	}
	return append(indented.Bytes(), '\n'), nil
}
