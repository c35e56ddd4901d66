// Command image makes a container image of the service without a container engine and
// without a base image: the program, the certificates of public authorities, a user that
// is not root, and nothing else. The file is an OCI archive, which docker load, podman
// load, skopeo and crane read; the same program makes the same file.
//
//	image -program dist/lanekeeper -arch amd64 -version 1.2.3 -created 2026-01-02T03:04:05Z -revision ... -output lanekeeper.tar
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.program, "program", "", "the static program")
	flag.StringVar(&o.arch, "arch", "", "what it runs on: amd64 or arm64")
	flag.StringVar(&o.version, "version", "", "of the release, such as 1.2.3")
	flag.StringVar(&o.revision, "revision", "", "the commit")
	created := flag.String("created", "", "when the sources were written (RFC 3339)")
	output := flag.String("output", "", "where to write the archive")
	flag.Parse()
	if err := run(o, *created, *output); err != nil {
		log.Fatal("image: ", err)
	}
}

func run(o options, created, output string) error {
	var err error
	if o.created, err = time.Parse(time.RFC3339, created); err != nil {
		return fmt.Errorf("-created: %w", err)
	}
	built, err := build(o)
	if err != nil {
		return err
	}
	file, err := os.Create(output)
	if err != nil {
		return fmt.Errorf("make the archive: %w", err)
	}
	if err := write(file, built, o); err != nil {
		_ = file.Close()
		return err
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	return nil
}
