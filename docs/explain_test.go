package docs_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// docs/explain.md has each kind of cause, and no other.
func TestCausesAreExplained(t *testing.T) {
	t.Parallel()
	var listed []domain.CauseKind
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (?:yes|no) \\|").FindAllStringSubmatch(read(t, "docs/explain.md"), -1) {
		listed = append(listed, domain.CauseKind(row[1]))
	}
	require.Equal(t, domain.CauseKinds(), listed)
}
