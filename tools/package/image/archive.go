package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// write writes an image as an archive that follows the OCI's layout, with the manifest
// that Docker reads beside it.
func write(to io.Writer, image v1.Image, o options) (err error) {
	dir, err := os.MkdirTemp("", "lanekeeper-image-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	at, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("write the layout: %w", err)
	}
	name := program + ":" + o.version
	if err := at.AppendImage(image,
		layout.WithPlatform(v1.Platform{OS: "linux", Architecture: o.arch}),
		layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": o.version, "io.containerd.image.name": "docker.io/library/" + name}),
	); err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	manifest, err := dockerManifest(image, name)
	if err != nil {
		return err
	}
	if err := at.WriteFile("manifest.json", manifest, 0o644); err != nil {
		return fmt.Errorf("write Docker's manifest: %w", err)
	}
	return o.pack(to, os.DirFS(dir))
}

// dockerManifest returns what Docker looks for in an archive.
func dockerManifest(image v1.Image, name string) ([]byte, error) {
	config, err := image.ConfigName()
	if err != nil {
		return nil, fmt.Errorf("name the configuration: %w", err)
	}
	layers, err := image.Layers()
	if err != nil {
		return nil, fmt.Errorf("list the layers: %w", err)
	}
	type described struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	d := described{Config: blob(config), RepoTags: []string{name}}
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return nil, fmt.Errorf("name a layer: %w", err)
		}
		d.Layers = append(d.Layers, blob(digest))
	}
	text, err := json.Marshal([]described{d})
	if err != nil {
		return nil, fmt.Errorf("write Docker's manifest: %w", err)
	}
	return text, nil
}

// blob returns where the layout has what has this digest.
func blob(digest v1.Hash) string { return path.Join("blobs", digest.Algorithm, digest.Hex) }

// pack writes files by their names, as old as the sources.
func (o options) pack(to io.Writer, files fs.FS) error {
	w := tar.NewWriter(to)
	err := fs.WalkDir(files, ".", func(name string, found fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		header := &tar.Header{Name: name, Mode: 0o644, ModTime: o.created, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
		if found.IsDir() {
			header.Name, header.Mode, header.Typeflag = name+"/", 0o755, tar.TypeDir
			return w.WriteHeader(header)
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		header.Size = int64(len(content))
		return errors.Join(w.WriteHeader(header), writeAll(w, content))
	})
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	return nil
}
