// Command gen makes openapi.json (OpenAPI 3) of the comments on the handlers. It
// has swag read them, which knows only the older Swagger 2, and adds what that
// cannot say. It runs in the directory docs, by "go generate".
package main

import (
	"bytes"
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

const (
	jsonType    = "application/json"
	ndjsonType  = "application/x-ndjson"
	problemType = "application/problem+json"
	eventsType  = "text/event-stream"
)

func main() {
	if err := run(context.Background(), "openapi.json"); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, target string) error {
	doc2, err := readComments(ctx)
	if err != nil {
		return err
	}
	doc, err := openapi2conv.ToV3(doc2)
	if err != nil {
		return fmt.Errorf("convert to OpenAPI 3: %w", err)
	}
	doc.Servers = append(doc.Servers, &openapi3.Server{URL: "/", Description: "The same without the prefix"})
	for _, item := range doc.Paths.Map() {
		for _, operation := range item.Operations() {
			refineResponses(operation)
			refineRequest(operation)
		}
	}
	for name, schema := range doc.Components.Schemas {
		refineSchema(name, schema.Value)
	}
	if err := doc.Validate(ctx); err != nil {
		return fmt.Errorf("validate OpenAPI 3: %w", err)
	}
	return write(target, doc)
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

// refineResponses gives every response its one media type, and problems the
// headers they come with.
func refineResponses(operation *openapi3.Operation) {
	for status, ref := range operation.Responses.Map() {
		response := ref.Value
		for media, content := range response.Content {
			want := jsonType
			switch {
			case content.Schema != nil && content.Schema.Ref == "#/components/schemas/Problem":
				want = problemType
			case media == eventsType:
				want = eventsType
			}
			delete(response.Content, media)
			response.Content[want] = content
		}
		switch status {
		case "401":
			header(response, "WWW-Authenticate", "string", "How to authenticate")
		case "429", "503":
			header(response, "Retry-After", "integer", "Seconds to wait")
		}
	}
}

func header(response *openapi3.Response, name, kind, description string) {
	if response.Headers == nil {
		response.Headers = openapi3.Headers{}
	}
	response.Headers[name] = &openapi3.HeaderRef{Value: &openapi3.Header{Parameter: openapi3.Parameter{
		Description: description,
		Schema:      &openapi3.SchemaRef{Value: &openapi3.Schema{Type: &openapi3.Types{kind}}},
	}}}
}

// refineRequest describes bodies with one JSON document a line.
func refineRequest(operation *openapi3.Operation) {
	if operation.RequestBody == nil {
		return
	}
	content := operation.RequestBody.Value.Content
	if content[ndjsonType] == nil {
		return
	}
	lines := openapi3.NewStringSchema()
	lines.Description = "One payload a line; with `envelope=true` one message a line, such as `{\"payload\":{\"text\":\"one\"},\"type\":\"order.created\"}`"
	lines.Example = "{\"text\":\"one\"}\n{\"text\":\"two\"}\n"
	content[ndjsonType] = openapi3.NewMediaType().WithSchema(lines)
}

// refineSchema lets payloads, and bodies of dead letters, be any JSON value.
func refineSchema(name string, schema *openapi3.Schema) {
	for _, anything := range []string{"payload", "body"} {
		if property := schema.Properties[anything]; property != nil {
			property.Value = &openapi3.Schema{
				Description: property.Value.Description,
				Nullable:    true,
				Example:     map[string]any{"text": "hello"},
			}
		}
	}
	// The two bodies that take tenant_name for name do not say so.
	if name != "CreateTenant" && name != "ChangeTenant" {
		no := false
		schema.AdditionalProperties = openapi3.AdditionalProperties{Has: &no}
	}
}

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
	if err := os.WriteFile(target, indented.Bytes(), 0o644); err != nil { //nolint:gosec // a source file
		return fmt.Errorf("write OpenAPI 3: %w", err)
	}
	return nil
}
