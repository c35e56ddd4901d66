package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/getkin/kin-openapi/openapi3"

	"lanekeeper/docs/gen/postman"
	"lanekeeper/docs/gen/typescript"
)

// write writes doc, indented, with its keys in order.
func write(target string, doc *openapi3.T) error {
	compact, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("encode OpenAPI 3: %w", err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, compact, "", "  "); err != nil {
		return fmt.Errorf("indent OpenAPI 3: %w", err)
	}
	indented.WriteByte('\n')
	return writeFile(target, indented.Bytes())
}

func writeFile(target string, content []byte) error {
	if err := os.WriteFile(target, content, 0o644); err != nil { //nolint:gosec // a source file
		return fmt.Errorf("write %s: %w", target, err)
	}
	return nil
}

// writePostman writes the collection and its environment.
func writePostman(dir string, doc *openapi3.T) error {
	collection, err := postman.Collection(doc)
	if err != nil {
		return fmt.Errorf("make the Postman collection: %w", err)
	}
	environment, err := postman.Environment()
	if err != nil {
		return fmt.Errorf("make the Postman environment: %w", err)
	}
	if err := writeFile(filepath.Join(dir, "lanekeeper.postman_collection.json"), collection); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, "lanekeeper.postman_environment.json"), environment)
}

// writeTypes writes the types of the TypeScript client, which the console has, too.
func writeTypes(doc *openapi3.T, target string) error {
	types, err := typescript.Types(doc)
	if err != nil {
		return fmt.Errorf("make the types for TypeScript: %w", err)
	}
	return writeFile(target, types)
}
