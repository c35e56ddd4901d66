package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
)

// generatorLabel marks the load generator in profiles:
// go tool pprof -tagignore load=generator leaves it out.
func generatorLabel() pprof.LabelSet { return pprof.Labels("load", "generator") }

// profiled does some work and writes a CPU profile of this process meanwhile,
// if profiles are asked for.
func profiled(b *bench, name string, work func() error) error {
	if b.options.profile == "" {
		return work()
	}
	if err := os.MkdirAll(b.options.profile, 0o755); err != nil { //nolint:gosec // where the caller wants it
		return fmt.Errorf("make the directory for profiles: %w", err)
	}
	file, err := os.Create(filepath.Join(b.options.profile, name+".pprof"))
	if err != nil {
		return fmt.Errorf("make a profile: %w", err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return errors.Join(fmt.Errorf("start the profile: %w", err), file.Close())
	}
	err = work()
	pprof.StopCPUProfile()
	return errors.Join(err, file.Close(), writeHeap(filepath.Join(b.options.profile, name+".heap.pprof")))
}

// writeHeap writes what is alive.
func writeHeap(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("make a profile: %w", err)
	}
	runtime.GC()
	if err := pprof.WriteHeapProfile(file); err != nil {
		err = fmt.Errorf("write the profile of the heap: %w", err)
		return errors.Join(err, file.Close())
	}
	return file.Close() //nolint:wrapcheck // says which file
}
