package client_test

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every code that there is a constant for is one of the API's.
func TestCodesAreThoseOfTheAPI(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/openapi.json")
	require.NoError(t, err)
	var document struct {
		Components struct {
			Schemas struct {
				ProblemCode struct{ Enum []string }
			}
		}
	}
	require.NoError(t, json.Unmarshal(text, &document))
	source, err := os.ReadFile("errors.go")
	require.NoError(t, err)
	constants := regexp.MustCompile(`Code = "([a-z_]+)"`).FindAllStringSubmatch(string(source), -1)
	require.NotEmpty(t, constants)
	for _, c := range constants {
		require.Contains(t, document.Components.Schemas.ProblemCode.Enum, c[1])
	}
}
