package schemas

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

// The schemas that the API server of Kubernetes 1.30 publishes, as they come
// with kubectl-validate. Only the files are used: building its code takes
// minutes.
const (
	module = "sigs.k8s.io/kubectl-validate@v0.0.4"
	sum    = "h1:tGKuv0awYHn11Cb6KPsZKxUmHgavF46K3NvVH0Nse9U="
	files  = "pkg/openapiclient/builtins/1.30"
)

// Schemas reads the schemas, each file once. It is safe for concurrent use.
type Schemas struct {
	dir string

	mu   sync.Mutex // guards docs
	docs map[string]*openapi3.T
}

// New gets the schemas through the module proxy.
func New(t testing.TB) *Schemas {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", module).Output()
	require.NoError(t, err, "%s", out)
	var got struct{ Dir, Sum string }
	require.NoError(t, json.Unmarshal(out, &got))
	require.Equal(t, sum, got.Sum)
	return &Schemas{dir: filepath.Join(got.Dir, filepath.FromSlash(files)), docs: make(map[string]*openapi3.T)}
}

// Check returns what the schema of a kind, such as core.v1.Service in api/v1.json, has
// against a document.
func (s *Schemas) Check(file, kind string, document any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	doc := s.docs[file]
	if doc == nil {
		var err error
		if doc, err = openapi3.NewLoader().LoadFromFile(filepath.Join(s.dir, filepath.FromSlash(file))); err != nil {
			return fmt.Errorf("read schema: %w", err)
		}
		s.docs[file] = doc
	}
	schema := doc.Components.Schemas["io.k8s.api."+kind]
	if schema == nil {
		return fmt.Errorf("no schema for %s", kind)
	}
	return schema.Value.VisitJSON(document, openapi3.MultiErrors())
}
