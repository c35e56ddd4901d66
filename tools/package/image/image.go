package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	// user is "nonroot", as in the images that the Dockerfile is made of.
	user = 65532
	// certificates is where Go looks for them first.
	certificates = "etc/ssl/certs/ca-certificates.crt"
	program      = "lanekeeper"
)

// options are what an image is made of.
type options struct {
	program, arch, version, revision string
	created                          time.Time
}

func (o options) check() error {
	for name, value := range map[string]string{"program": o.program, "version": o.version} {
		if value == "" {
			return fmt.Errorf("-%s is missing", name)
		}
	}
	if !slices.Contains([]string{"amd64", "arm64"}, o.arch) {
		return fmt.Errorf("-arch is %q, not amd64 or arm64", o.arch)
	}
	return nil
}

// build returns the image.
func build(o options) (v1.Image, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	binary, err := os.ReadFile(o.program)
	if err != nil {
		return nil, fmt.Errorf("read the program: %w", err)
	}
	roots, err := authorities()
	if err != nil {
		return nil, err
	}
	system, err := o.layer(
		entry{name: "etc/", mode: 0o755}, entry{name: "etc/ssl/", mode: 0o755}, entry{name: "etc/ssl/certs/", mode: 0o755},
		entry{name: "etc/group", mode: 0o644, content: fmt.Appendf(nil, "root:x:0:\nnonroot:x:%d:\n", user)},
		entry{name: "etc/passwd", mode: 0o644, content: fmt.Appendf(nil, "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:%[1]d:%[1]d:nonroot:/:/sbin/nologin\n", user)},
		entry{name: certificates, mode: 0o644, content: roots},
	)
	if err != nil {
		return nil, err
	}
	service, err := o.layer(entry{name: program, mode: 0o755, content: binary})
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.Append(image,
		mutate.Addendum{Layer: system, History: v1.History{CreatedBy: "certificates of public authorities, users", Created: v1.Time{Time: o.created}}},
		mutate.Addendum{Layer: service, History: v1.History{CreatedBy: "the service", Created: v1.Time{Time: o.created}}})
	if err != nil {
		return nil, fmt.Errorf("put the layers together: %w", err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the image's configuration: %w", err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", o.arch, v1.Time{Time: o.created}
	file.Config = v1.Config{
		User: fmt.Sprintf("%d:%[1]d", user), Entrypoint: []string{"/" + program}, WorkingDir: "/",
		Env:          []string{"PATH=/", "SSL_CERT_FILE=/" + certificates},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}},
		Labels: map[string]string{
			"org.opencontainers.image.title": "Lanekeeper", "org.opencontainers.image.description": "A multi-tenant messaging service",
			"org.opencontainers.image.licenses": "Apache-2.0", "org.opencontainers.image.version": o.version,
			"org.opencontainers.image.revision": o.revision, "org.opencontainers.image.created": o.created.UTC().Format(time.RFC3339),
		},
	}
	if image, err = mutate.ConfigFile(image, file); err != nil {
		return nil, fmt.Errorf("write the image's configuration: %w", err)
	}
	return image, nil
}

// entry is a file, or a directory where its name ends with a slash.
type entry struct {
	name    string
	mode    int64
	content []byte
}

// layer returns files of root's, as old as the sources.
func (o options) layer(entries ...entry) (v1.Layer, error) {
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.content)), ModTime: o.created, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
		if e.name[len(e.name)-1] == '/' {
			header.Typeflag = tar.TypeDir
		}
		if err := errors.Join(w.WriteHeader(header), writeAll(w, e.content)); err != nil {
			return nil, fmt.Errorf("write %s: %w", e.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write a layer: %w", err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("make a layer: %w", err)
	}
	return layer, nil
}

func writeAll(w io.Writer, content []byte) error {
	_, err := w.Write(content)
	return err
}

// authorities returns the certificates of public authorities, as Mozilla trusts them, in
// PEM. Those that it trusts for some names or times only are left out: a file of
// certificates cannot say so.
func authorities() ([]byte, error) {
	const least = 50 // far fewer than there have been in the last years
	var b bytes.Buffer
	n := 0
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		n++
		if err := pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, fmt.Errorf("write a certificate: %w", err)
		}
	}
	if n < least {
		return nil, fmt.Errorf("there are %d certificates of authorities, not %d or more", n, least)
	}
	return b.Bytes(), nil
}
