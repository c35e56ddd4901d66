// Package docs holds the description of the HTTP API. All of it is generated
// from the comments on the handlers in package controller.
package docs

import _ "embed"

//go:generate go tool swag init --quiet --dir ../controller,../model --generalInfo router.go --output . --outputTypes go,json,yaml
//go:generate go run ./gen

// OpenAPI is the OpenAPI 3 document, in JSON. It must not be changed.
//
//go:embed openapi.json
var OpenAPI []byte
