package controller

import (
	"context"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	swaggerfiles "github.com/swaggo/files"
	ginswagger "github.com/swaggo/gin-swagger"

	"lanekeeper/controller/middleware"
	"lanekeeper/model"
)

// swaggerIndex is where Swagger UI begins.
const swaggerIndex = "/swagger/index.html"

// healthz answers as long as the process runs.
func healthz(c *gin.Context) error {
	return writeJSON(c, http.StatusOK, model.Health{Status: "ok"})
}

// readyz answers 200 while the process should get requests, else 503.
func readyz(ready func(ctx context.Context) (status string, ready bool, details map[string]string)) handler {
	return func(c *gin.Context) error {
		status, ok, details := ready(c.Request.Context())
		code := http.StatusOK
		if !ok {
			code = http.StatusServiceUnavailable
			c.Header("Retry-After", "2")
		}
		return writeJSON(c, code, model.Health{Status: status, Details: details})
	}
}

// openAPI serves the description of the API.
func openAPI(document []byte) handler {
	return func(c *gin.Context) error {
		c.Data(http.StatusOK, jsonType, document)
		return nil
	}
}

// swaggerUI serves Swagger UI for /openapi.json. The document is also where
// others expect it beside Swagger UI, at doc.json.
func swaggerUI(document []byte) gin.HandlerFunc {
	ui := ginswagger.WrapHandler(swaggerfiles.NewHandler(),
		ginswagger.URL("/openapi.json"),
		ginswagger.PersistAuthorization(true),
		ginswagger.DefaultModelsExpandDepth(-1))
	return func(c *gin.Context) {
		// gin-swagger finds the file, and once and for all its own prefix, in
		// the RequestURI by a pattern: give it nothing else to match.
		switch file := strings.TrimPrefix(c.Param("file"), "/"); file {
		case "", "/":
			c.Redirect(http.StatusFound, swaggerIndex)
		case "index.html", "index.css", "swagger-initializer.js", "swagger-ui.css", "swagger-ui-bundle.js",
			"swagger-ui-standalone-preset.js", "favicon-16x16.png", "favicon-32x32.png", "oauth2-redirect.html":
			c.Request.RequestURI = "/swagger/" + file
			ui(c)
		case "doc.json":
			c.Data(http.StatusOK, jsonType, document)
		default:
			middleware.NoRoute(c)
		}
	}
}
