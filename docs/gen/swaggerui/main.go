// Command swaggerui writes the files of Swagger UI into controller/swaggerui, compressed
// as they are served. It gets them of gin-swagger, which the service itself does not
// link: it would have all of them uncompressed, with what browsers never ask for. It runs
// in the directory docs, by "go generate".
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/gin-gonic/gin"
	"github.com/klauspost/compress/gzip"
	swaggerfiles "github.com/swaggo/files"
	ginswagger "github.com/swaggo/gin-swagger"
)

const (
	// prefix is where the service serves the files, and document where it serves what
	// they show.
	prefix   = "/swagger/"
	document = prefix + "doc.json"
)

func main() {
	if err := run(context.Background(), filepath.Join("..", "controller", "swaggerui")); err != nil {
		log.Fatal(err)
	}
}

// files are those that a browser asks for.
func files() []string {
	return []string{
		"index.html", "index.css", "swagger-initializer.js", "swagger-ui.css", "swagger-ui-bundle.js",
		"swagger-ui-standalone-preset.js", "favicon-16x16.png", "favicon-32x32.png", "oauth2-redirect.html",
	}
}

func run(ctx context.Context, dir string) error {
	gin.SetMode(gin.ReleaseMode)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // sources are for everybody
		return fmt.Errorf("make the directory: %w", err)
	}
	for _, name := range files() {
		content, err := get(ctx, name)
		if err != nil {
			return err
		}
		packed, err := pack(content)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name+".gz"), packed, 0o644); err != nil { //nolint:gosec // as above
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// get returns a file, from a handler of its own: gin-swagger takes the prefix of all
// files from the first that it is asked for.
func get(ctx context.Context, name string) ([]byte, error) {
	engine := gin.New()
	engine.GET(prefix+"*file", ginswagger.WrapHandler(swaggerfiles.NewHandler(),
		ginswagger.URL(document),
		ginswagger.PersistAuthorization(true),
		ginswagger.DefaultModelsExpandDepth(-1)))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, prefix+name, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", name, err)
	}
	request.RequestURI = prefix + name
	answer := httptest.NewRecorder()
	engine.ServeHTTP(answer, request)
	if answer.Code != http.StatusOK || answer.Body.Len() == 0 {
		return nil, fmt.Errorf("ask for %s: status %d", name, answer.Code)
	}
	return answer.Body.Bytes(), nil
}

// pack compresses a file, with no time and no name in it: the same file is always the
// same.
func pack(content []byte) ([]byte, error) {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if _, err := w.Write(content); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return packed.Bytes(), nil
}
