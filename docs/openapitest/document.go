package openapitest

import (
	"fmt"

	"github.com/getkin/kin-openapi/openapi3"

	"lanekeeper/docs"
)

// Load returns the document, for the caller alone. A schema without a type is for any
// value, null included, as OpenAPI 3.0.3 has it; kin-openapi has to be told.
func Load() (*openapi3.T, error) {
	document, err := openapi3.NewLoader().LoadFromData(docs.OpenAPI)
	if err != nil {
		return nil, fmt.Errorf("load openapi.json: %w", err)
	}
	for _, schema := range document.Components.Schemas {
		for _, property := range schema.Value.Properties {
			allowNull(property)
			allowNull(property.Value.AdditionalProperties.Schema)
		}
	}
	return document, nil
}

func allowNull(ref *openapi3.SchemaRef) {
	if ref != nil && ref.Ref == "" && ref.Value.Type == nil && len(ref.Value.AllOf) == 0 {
		ref.Value.Nullable = true
	}
}
