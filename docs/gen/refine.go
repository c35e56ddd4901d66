package main

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

const (
	jsonType    = "application/json"
	ndjsonType  = "application/x-ndjson"
	problemType = "application/problem+json"
	eventsType  = "text/event-stream"
	csvType     = "text/csv"

	problemSchema = "#/components/schemas/Problem"
	bearer        = "BearerAuth"
)

// refine adds to doc what the comments, or swag, do not say.
func refine(doc *openapi3.T, problems []problem) error {
	doc.Info.Contact = nil
	doc.Servers = openapi3.Servers{
		{URL: "/api", Description: "Where this document was read"},
		{URL: "/", Description: "The same without the prefix"},
	}
	doc.Security = *openapi3.NewSecurityRequirements().With(openapi3.NewSecurityRequirement().Authenticate(bearer))
	scheme := doc.Components.SecuritySchemes[bearer].Value
	scheme.Type, scheme.Scheme, scheme.In, scheme.Name = "http", "bearer", "", ""
	doc.Components.Responses = make(openapi3.ResponseBodies)
	ids := make(map[string]string)
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			call := method + " " + path
			if other, taken := ids[operation.OperationID]; taken || !operationID.MatchString(operation.OperationID) {
				return fmt.Errorf("%s: its @ID %q is not like createTenant, or is that of %s", call, operation.OperationID, other)
			}
			ids[operation.OperationID] = call
			if err := refineOperation(doc, path, operation, problems); err != nil {
				return fmt.Errorf("%s: %w", call, err)
			}
		}
	}
	for name, schema := range doc.Components.Schemas {
		if strings.Contains(name, ".") {
			return fmt.Errorf("schema %s: give the type its name with //@name", name)
		}
		refineSchema(name, schema.Value)
		if err := describe(schema.Value, doc.Components.Schemas); err != nil {
			return fmt.Errorf("schema %s: %w", name, err)
		}
	}
	return addCodes(doc, problems)
}

// operationID is what clients call an operation: a verb and what it is about.
var operationID = regexp.MustCompile(`^[a-z]+([A-Z][a-z]+)*$`)

func refineOperation(doc *openapi3.T, path string, operation *openapi3.Operation, problems []problem) error {
	if len(operation.Tags) != 1 || doc.Tags.Get(operation.Tags[0]) == nil {
		return fmt.Errorf("its @Tags are %q, of which router.go has to describe the only one", operation.Tags)
	}
	if err := refineAccess(operation); err != nil {
		return err
	}
	if err := addProblems(operation, http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge); err != nil {
		return err
	}
	if err := refineTenants(path, operation); err != nil {
		return err
	}
	refineResponses(operation)
	shareProblems(doc, operation, problems)
	if err := exemplifyParameters(path, operation); err != nil {
		return err
	}
	return refineRequest(operation)
}

const (
	// scopeExtension names the scope that an API key needs for a call.
	scopeExtension = "x-scope"
	// portalExtension is "never" or "always" where portal links may make a call or not
	// whatever its scope is.
	portalExtension = "x-portal"
)

// refineAccess says of every call that is not for anyone whether API keys may make it,
// and that keys which do not exist are too many at some point.
func refineAccess(operation *openapi3.Operation) error {
	if operation.Security == nil {
		operation.Security = openapi3.NewSecurityRequirements() // none, where all others have that of the document
		return nil
	}
	operation.Security = nil
	text := "Not for API keys."
	if scope, ok := operation.Extensions[scopeExtension]; ok {
		text = fmt.Sprintf("Scope of API keys: `%v`.", scope)
	}
	switch operation.Extensions[portalExtension] {
	case "never":
		text += " Not for portal links."
	case "always":
		text += " Portal links may make it, whatever their scopes."
	}
	if operation.Description != "" {
		text = "\n\n" + text
	}
	operation.Description += text
	return addProblems(operation, http.StatusTooManyRequests)
}

// addProblems adds answers that every call may get, where the comments do not name them.
func addProblems(operation *openapi3.Operation, statuses ...int) error {
	problem := operation.Responses.Value("500")
	if problem == nil {
		return fmt.Errorf("%s: no answer 500", operation.Summary)
	}
	for _, status := range statuses {
		code, description := strconv.Itoa(status), http.StatusText(status)
		if operation.Responses.Value(code) != nil {
			continue
		}
		another := *problem.Value
		another.Content, another.Description = maps.Clone(problem.Value.Content), &description
		operation.Responses.Set(code, &openapi3.ResponseRef{Value: &another})
	}
	return nil
}

// refineResponses gives every response its media types, and problems the headers
// they come with.
func refineResponses(operation *openapi3.Operation) {
	for status, ref := range operation.Responses.Map() {
		response := ref.Value
		said := response.Content
		response.Content = make(openapi3.Content, len(said))
		for media, content := range said {
			switch {
			case content.Schema != nil && content.Schema.Ref == problemSchema:
				media = problemType
			case media == csvType:
				content = openapi3.NewMediaType().WithSchema(openapi3.NewStringSchema())
			case media == eventsType:
				content.Example = "id: 1842\nevent: message\ndata: {\"seq\":1842,\"payload\":{\"text\":\"hello\"}}\n\n"
			default:
				media = jsonType
			}
			response.Content[media] = content
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

// shareProblems has the operation name the problem documents that it may be answered,
// which are alike in all operations.
func shareProblems(doc *openapi3.T, operation *openapi3.Operation, problems []problem) {
	for status, ref := range operation.Responses.Map() {
		content := ref.Value.Content[problemType]
		number, err := strconv.Atoi(status)
		if content == nil || err != nil {
			continue
		}
		name := strings.ReplaceAll(http.StatusText(number), " ", "")
		if doc.Components.Responses[name] == nil {
			text := http.StatusText(number)
			media := openapi3.NewMediaType().WithSchemaRef(content.Schema) // one of its own, where answers may share one
			media.Example = exampleProblem(number, problems)
			response := openapi3.Response{Description: &text, Headers: ref.Value.Headers, Content: openapi3.Content{problemType: media}}
			doc.Components.Responses[name] = &openapi3.ResponseRef{Value: &response}
		}
		operation.Responses.Set(status, &openapi3.ResponseRef{Ref: "#/components/responses/" + name, Value: doc.Components.Responses[name].Value})
	}
}

// exampleProblem is a problem document with the status, and the code that stands for
// the others in examples.
func exampleProblem(status int, problems []problem) map[string]any {
	example := map[string]any{
		"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": "", "code": "",
		"instance": "/api/tenants/" + exampleTenant, "request_id": "0197a3a2-7d2c-7c3e-8f7e-5c1b6a2f9d10",
	}
	for _, p := range problems {
		if slices.Contains(p.statuses, status) && (example["code"] == "" || slices.Contains(typicalProblems(), p.code)) {
			example["code"], example["detail"] = p.code, p.meaning
		}
	}
	if status == http.StatusUnprocessableEntity {
		example["errors"] = []any{map[string]any{"pointer": "/workers", "message": "must be between 1 and 100"}}
	}
	return example
}

// typicalProblems are those that most callers meet.
func typicalProblems() []string {
	return []string{
		"not_json", "token_invalid", "role_insufficient", "tenant_not_found", "tenant_inactive", "body_too_large", "unsupported_media_type",
		"invalid_fields", "rate_exceeded", "broker_unavailable", "internal_error", "cursor_expired",
	}
}

// refineSchema lets payloads and bodies of dead letters be any JSON value, null
// included, which a schema without a type says. What a member is unless given is said in its description: generators
// of clients take a property with a default for one that is always there.
func refineSchema(name string, schema *openapi3.Schema) {
	for _, anything := range []string{"payload", "body"} {
		if property := schema.Properties[anything]; property != nil {
			property.Value = &openapi3.Schema{
				Description: property.Value.Description,
				Example:     map[string]any{"text": "hello"},
			}
		}
	}
	for _, property := range schema.Properties {
		value := property.Value
		if value.Default != nil && !strings.Contains(value.Description, "unless") {
			value.Description = strings.TrimSpace(fmt.Sprintf("%s Unless given: `%v`.", value.Description, value.Default))
		}
		value.Default = nil
		if value.Type.Is(openapi3.TypeInteger) && value.Max == nil && value.Format == "" {
			value.Format = "int64" // as clients have to be told
		}
		if value.Nullable && len(value.AllOf) > 0 {
			value.Type = &openapi3.Types{openapi3.TypeObject} // without a type, nullable says nothing
		}
	}
	// The two bodies that take tenant_name for name do not say so.
	if name != "CreateTenant" && name != "ChangeTenant" {
		no := false
		schema.AdditionalProperties = openapi3.AdditionalProperties{Has: &no}
	}
}

var (
	capitalized = regexp.MustCompile(`\b[A-Z][A-Za-z0-9]*\b`)
	humped      = regexp.MustCompile(`\b[A-Z]?[a-z0-9]+[A-Z][A-Za-z0-9]*\b`)
)

// describe has descriptions of members call them by their names in JSON, and not by
// those in the sources.
func describe(schema *openapi3.Schema, schemas openapi3.Schemas) error {
	inJSON := make(map[string]string)
	for name := range schema.Properties {
		inJSON[strings.ReplaceAll(name, "_", "")] = name
	}
	properNames := []string{"EventSource", "RabbitMQ", "PostgreSQL", "OpenTelemetry", "MiB", "KiB"} // which are written like names in sources
	for name, property := range schema.Properties {
		text := strings.ReplaceAll(property.Value.Description, "\n", " ")
		text = capitalized.ReplaceAllStringFunc(text, func(word string) string {
			if name, ok := inJSON[strings.ToLower(word)]; ok {
				return "`" + name + "`"
			}
			return word
		})
		for _, word := range humped.FindAllString(text, -1) {
			if schemas[word] == nil && !slices.Contains(properNames, word) {
				return fmt.Errorf("%s: %q is a name in the sources, or is missing among properNames", name, word)
			}
		}
		property.Value.Description = text
	}
	return nil
}

// addCodes has problems say which codes there are.
func addCodes(doc *openapi3.T, problems []problem) error {
	codes := &openapi3.Schema{Type: &openapi3.Types{openapi3.TypeString}, Description: "Which problem it is; docs/errors.md says what to do. There may be more of them in later versions.", Example: "tenant_not_found"}
	for _, p := range problems {
		codes.Enum = append(codes.Enum, p.code)
	}
	doc.Components.Schemas["ProblemCode"] = openapi3.NewSchemaRef("", codes)
	for _, name := range []string{"Problem", "BatchError"} {
		schema := doc.Components.Schemas[name]
		if schema == nil || schema.Value.Properties["code"] == nil {
			return errors.New("schema " + name + " has no code")
		}
		schema.Value.Properties["code"] = openapi3.NewSchemaRef("#/components/schemas/ProblemCode", codes)
	}
	return nil
}
