// Command gen makes openapi.json (OpenAPI 3) of the comments on the handlers. It
// has swag read them, which knows only the older Swagger 2, and adds what that
// cannot say. It also makes errors.md of the codes that it finds in the sources, a
// Postman collection, and the types of the TypeScript client. It runs in the directory
// docs, by "go generate".
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	problems, err := readProblems("..")
	if err != nil {
		return err
	}
	doc2, err := readComments(ctx)
	if err != nil {
		return err
	}
	doc, err := openapi2conv.ToV3(doc2)
	if err != nil {
		return fmt.Errorf("convert to OpenAPI 3: %w", err)
	}
	if err := refine(doc, problems); err != nil {
		return err
	}
	if err := doc.Validate(ctx, openapi3.EnableExamplesValidation()); err != nil {
		return fmt.Errorf("validate OpenAPI 3: %w", err)
	}
	if err := write("openapi.json", doc); err != nil {
		return err
	}
	if err := writeFile("errors.md", problemsPage(problems)); err != nil {
		return err
	}
	if err := writePostman("postman", doc); err != nil {
		return err
	}
	return writeTypes(doc, filepath.Join("..", "clients", "typescript", "src", "types.ts"))
}

// readComments returns what swag makes of the comments.
func readComments(ctx context.Context) (*openapi2.T, error) {
	dir, err := os.MkdirTemp("", "lanekeeper-swagger-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for swagger: %w", err)
	}
	defer os.RemoveAll(dir)
	swag := exec.CommandContext(ctx, "go", "tool", "swag", "init", "--quiet", "--dir", "../controller,../model", //nolint:gosec // its only variable is the directory
		"--generalInfo", "router.go", "--output", dir, "--outputTypes", "json")
	swag.Stdout, swag.Stderr = os.Stdout, os.Stderr
	if err := swag.Run(); err != nil {
		return nil, fmt.Errorf("run swag: %w", err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "swagger.json"))
	if err != nil {
		return nil, fmt.Errorf("read swagger: %w", err)
	}
	var doc openapi2.T
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("parse swagger: %w", err)
	}
	return &doc, nil
}
