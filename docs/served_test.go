package docs_test

import (
	"fmt"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"lanekeeper/docs"
)

// What is served says where the service is, and whether a token is needed; all else is
// as it is in the file.
func TestServed(t *testing.T) {
	t.Parallel()
	load := func(document []byte) *openapi3.T {
		loaded, err := openapi3.NewLoader().LoadFromData(document)
		require.NoError(t, err)
		require.NoError(t, loaded.Validate(t.Context()))
		return loaded
	}
	file := load(docs.OpenAPI)
	here, err := docs.Served("", false)
	require.NoError(t, err)
	require.Equal(t, file.Servers, load(here).Servers)
	for _, open := range []bool{false, true} {
		content, err := docs.Served("https://lane.example.com:8443/x", open)
		require.NoError(t, err)
		served := load(content)
		require.Equal(t, "https://lane.example.com:8443/x/api", served.Servers[0].URL)
		require.Equal(t, file.Servers, served.Servers[1:])
		want := file.Security
		if open {
			want = append(want[:1:1], openapi3.SecurityRequirement{})
		}
		require.Equal(t, want, served.Security)
		served.Servers, served.Security = file.Servers, file.Security
		text, err := served.MarshalJSON()
		require.NoError(t, err)
		same, err := file.MarshalJSON()
		require.NoError(t, err)
		require.JSONEq(t, string(same), string(text))
	}
}

// The example of a problem document is one of its own status.
func TestExamplesOfProblems(t *testing.T) {
	t.Parallel()
	document, err := openapi3.NewLoader().LoadFromData(docs.OpenAPI)
	require.NoError(t, err)
	for path, item := range document.Paths.Map() {
		for method, operation := range item.Operations() {
			for status, response := range operation.Responses.Map() {
				if problem := response.Value.Content["application/problem+json"]; problem != nil {
					example, ok := problem.Example.(map[string]any)
					require.True(t, ok, "%s %s: %s", method, path, status)
					require.Equal(t, status, fmt.Sprint(example["status"]), "%s %s", method, path)
				}
			}
		}
	}
}
