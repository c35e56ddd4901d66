package controller

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"lanekeeper/controller/middleware"
	"lanekeeper/model"
)

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

// consoleRoot is where the console begins.
const consoleRoot = "/console/"

// console serves the console. What it does not have is a problem document.
func console(pages http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		pages.ServeHTTP(c.Writer, c.Request)
		if c.Writer.Status() == http.StatusNotFound && !c.Writer.Written() {
			middleware.NoRoute(c)
		}
	}
}
