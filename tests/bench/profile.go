package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
)

// generatorLabel marks the load generator in profiles:
// go tool pprof -tagignore load=generator leaves it out.
func generatorLabel() pprof.LabelSet { return pprof.Labels("load", "generator") }

// startProfile begins a CPU profile of this process, and returns what ends
// it. It does nothing unless profiles are asked for.
func (b *bench) startProfile(name string) (stop func() error, err error) {
	if b.options.profile == "" {
		return func() error { return nil }, nil
	}
	if err := os.MkdirAll(b.options.profile, 0o755); err != nil { //nolint:gosec // where the caller wants it
		return nil, fmt.Errorf("make the directory for profiles: %w", err)
	}
	file, err := os.Create(filepath.Join(b.options.profile, name+".pprof"))
	if err != nil {
		return nil, fmt.Errorf("make a profile: %w", err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(fmt.Errorf("start the profile: %w", err), file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}
