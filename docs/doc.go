// Package docs embeds the description of the HTTP API, which is generated from
// the comments on the handlers in package controller and on the types in package
// model: the service serves it at /openapi.json, as Served returns it, Swagger UI shows it, and the
// tests of package controller check every answer against it. The pages beside it
// are for people.
package docs

import _ "embed"

//go:generate go run ./gen
//go:generate go run ./gen/commands
//go:generate go run ./gen/swaggerui

// OpenAPI is the OpenAPI 3 document, in JSON. It must not be changed.
//
//go:embed openapi.json
var OpenAPI []byte
