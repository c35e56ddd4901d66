package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"
)

func made(t *testing.T) (o options, archive string) {
	t.Helper()
	o = options{
		program: filepath.Join(t.TempDir(), "built"), arch: "arm64", version: "1.2.3", revision: "abc",
		created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	require.NoError(t, os.WriteFile(o.program, []byte("a program"), 0o600))
	archive = filepath.Join(t.TempDir(), "image.tar")
	require.NoError(t, run(o, o.created.Format(time.RFC3339), archive))
	return o, archive
}

// entries returns the files of an archive.
func entries(t *testing.T, archive io.Reader) map[string]*tar.Header {
	t.Helper()
	found := make(map[string]*tar.Header)
	for r := tar.NewReader(archive); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err)
		found[header.Name] = header
	}
}

// unpack returns the archive as a directory.
func unpack(t *testing.T, archive string) string {
	t.Helper()
	file, err := os.Open(archive)
	require.NoError(t, err)
	defer file.Close()
	dir := t.TempDir()
	for r := tar.NewReader(file); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		require.NoError(t, err)
		at := filepath.Join(dir, header.Name)
		if header.Typeflag == tar.TypeDir {
			require.NoError(t, os.MkdirAll(at, 0o700))
			continue
		}
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(at, content, 0o600))
	}
}

// What Docker loads and what follows the OCI's layout is one image, which is complete.
func TestArchive(t *testing.T) {
	t.Parallel()
	_, archive := made(t)
	index, err := layout.ImageIndexFromPath(unpack(t, archive))
	require.NoError(t, err)
	require.NoError(t, validate.Index(index))
	list, err := index.IndexManifest()
	require.NoError(t, err)
	require.Len(t, list.Manifests, 1)
	require.Equal(t, "arm64", list.Manifests[0].Platform.Architecture)
	image, err := index.Image(list.Manifests[0].Digest)
	require.NoError(t, err)

	tag, err := name.NewTag("lanekeeper:1.2.3")
	require.NoError(t, err)
	docker, err := tarball.ImageFromPath(archive, &tag)
	require.NoError(t, err)
	require.NoError(t, validate.Image(docker))
	want, err := image.ConfigName()
	require.NoError(t, err)
	got, err := docker.ConfigName()
	require.NoError(t, err)
	require.Equal(t, want, got)
	check(t, image)

	// A registry takes it, and gives it back.
	server := httptest.NewServer(registry.New())
	t.Cleanup(server.Close)
	there, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://")+"/lanekeeper:1.2.3", name.Insecure)
	require.NoError(t, err)
	require.NoError(t, remote.Write(there, image))
	pulled, err := remote.Image(there)
	require.NoError(t, err)
	require.NoError(t, validate.Image(pulled))
}

// check is that a container of the image has no root, a program, and authorities.
func check(t *testing.T, image v1.Image) {
	t.Helper()
	file, err := image.ConfigFile()
	require.NoError(t, err)
	require.Equal(t, "65532:65532", file.Config.User)
	require.Equal(t, []string{"/lanekeeper"}, file.Config.Entrypoint)
	require.Equal(t, "1.2.3", file.Config.Labels["org.opencontainers.image.version"])
	require.Equal(t, "abc", file.Config.Labels["org.opencontainers.image.revision"])
	require.Equal(t, "arm64", file.Architecture)
	files := mutate.Extract(image)
	defer files.Close()
	found := entries(t, files)
	require.Equal(t, int64(0o755), found["lanekeeper"].Mode)
	require.NotContains(t, found, "bin/sh")
	for path, header := range found {
		require.Zero(t, header.Uid, path)
		require.Zero(t, header.Mode&0o022, "%s can be written", path)
	}
}

func TestAuthorities(t *testing.T) {
	t.Parallel()
	text, err := authorities()
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(text))
	require.Equal(t, bytes.Count(text, []byte("BEGIN CERTIFICATE")), len(pool.Subjects())) //nolint:staticcheck // the pool is not the system's
}

// The same program makes the same archive.
func TestSameArchive(t *testing.T) {
	t.Parallel()
	o, archive := made(t)
	again := filepath.Join(t.TempDir(), "again.tar")
	require.NoError(t, run(o, o.created.Format(time.RFC3339), again))
	first, err := os.ReadFile(archive)
	require.NoError(t, err)
	second, err := os.ReadFile(again)
	require.NoError(t, err)
	require.True(t, bytes.Equal(first, second))
}

func TestWrongOptions(t *testing.T) {
	t.Parallel()
	o, archive := made(t)
	o.arch = "s390x"
	require.ErrorContains(t, run(o, o.created.Format(time.RFC3339), archive), "not amd64 or arm64")
	o.arch, o.version = "amd64", ""
	require.ErrorContains(t, run(o, o.created.Format(time.RFC3339), archive), "-version is missing")
	require.ErrorContains(t, run(o, "yesterday", archive), "-created")
}
