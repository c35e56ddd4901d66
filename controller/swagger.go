package controller

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/klauspost/compress/gzip"

	"lanekeeper/controller/middleware"
	"lanekeeper/pkg/contentcoding"
)

const (
	// swaggerIndex is where Swagger UI begins.
	swaggerIndex = "/swagger/index.html"
	// swaggerDocument is where others expect the document beside Swagger UI.
	swaggerDocument = "doc.json"
	// packedSuffix is behind the names of the files as they are kept.
	packedSuffix = ".gz"
)

// swaggerFiles are the files of Swagger UI, which docs/gen/swaggerui wrote.
//
//go:embed swaggerui/*.gz
var swaggerFiles embed.FS

// swaggerFile is a file of Swagger UI, compressed.
type swaggerFile struct {
	contentType, tag string
	packed           []byte
}

// swaggerUI serves Swagger UI for the document.
func swaggerUI(document []byte) (gin.HandlerFunc, error) {
	files, err := readSwaggerFiles()
	if err != nil {
		return nil, err
	}
	return func(c *gin.Context) {
		switch name := strings.TrimPrefix(c.Param("file"), "/"); name {
		case "", "/":
			c.Redirect(http.StatusFound, swaggerIndex)
		case swaggerDocument:
			c.Data(http.StatusOK, jsonType, document)
		default:
			if file, ok := files[name]; ok {
				file.serve(c)
				return
			}
			middleware.NoRoute(c)
		}
	}, nil
}

func readSwaggerFiles() (map[string]swaggerFile, error) {
	names, err := fs.Glob(swaggerFiles, "swaggerui/*"+packedSuffix)
	if err != nil {
		return nil, fmt.Errorf("find Swagger UI: %w", err)
	}
	files := make(map[string]swaggerFile)
	for _, at := range names {
		packed, err := swaggerFiles.ReadFile(at)
		if err != nil {
			return nil, fmt.Errorf("read Swagger UI: %w", err)
		}
		name := strings.TrimSuffix(path.Base(at), packedSuffix)
		sum := sha256.Sum256(packed)
		const enough = 16
		files[name] = swaggerFile{
			contentType: swaggerType(path.Ext(name)),
			tag:         `W/"` + hex.EncodeToString(sum[:enough]) + `"`, // weak: the same content in whatever coding
			packed:      packed,
		}
	}
	return files, nil
}

// swaggerType returns the type of a file's content, whatever the machine knows of types.
func swaggerType(extension string) string {
	switch extension {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".png":
		return "image/png"
	}
	return "application/octet-stream"
}

// serve answers with the file: as it is kept to who takes gzip, which all browsers do.
func (f *swaggerFile) serve(c *gin.Context) {
	header := c.Writer.Header()
	header.Set("ETag", f.tag)
	header.Set("Cache-Control", "no-cache") // ask whether there is a newer one
	if strings.Contains(c.GetHeader("If-None-Match"), f.tag) {
		c.Status(http.StatusNotModified)
		return
	}
	if contentcoding.WantsGzip(c.Request.Header["Accept-Encoding"]) {
		header.Set("Content-Encoding", "gzip")
		c.Data(http.StatusOK, f.contentType, f.packed)
		return
	}
	content, err := f.unpack()
	if err != nil {
		middleware.Fail(c, err)
		return
	}
	c.Data(http.StatusOK, f.contentType, content)
}

func (f *swaggerFile) unpack() ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(f.packed))
	if err != nil {
		return nil, fmt.Errorf("unpack Swagger UI: %w", err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("unpack Swagger UI: %w", err)
	}
	return content, nil
}
