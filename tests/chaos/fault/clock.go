package fault

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"lanekeeper/tests/chaos/env"
)

// ClockVariable names the file that says how far ahead the clock is of a program
// that was built with a clock of its own.
const ClockVariable = "CHAOS_CLOCK"

// skewedNow takes the place of the beginning of the standard library's time.Now
// in such a program. Go asks the kernel itself for the time, past everything
// that can be put in front of the C library, so the time of one process can
// only be changed in the process. As with a clock that is set by hand, the
// monotonic one goes on.
const (
	plainNow = `	sec, nsec, mono := runtimeNow()
	if mono == 0 {`
	skewedNow = `	sec, nsec, mono := runtimeNow()
	sec += chaosAhead()
	if mono == 0 {`
)

// clockSource is a file that is added to the package time. The offset is read
// from memory that the file is mapped to, so that a jump is there at once.
const clockSource = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

var chaosOffset = openChaosClock()

func openChaosClock() *int64 {
	name, found := syscall.Getenv("` + ClockVariable + `")
	if !found {
		return new(int64)
	}
	fd, err := syscall.Open(name, syscall.O_RDONLY, 0)
	if err != nil {
		panic("open the clock: " + err.Error())
	}
	memory, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("map the clock: " + err.Error())
	}
	return (*int64)(unsafe.Pointer(&memory[0]))
}

func chaosAhead() int64 {
	if chaosOffset == nil { // before this package is ready
		return 0
	}
	return atomic.LoadInt64(chaosOffset)
}
`

var errOverlay = errors.New("this version of Go has another time.Now")

// BuildWithClock builds a package with a clock that can be set, and returns the
// program.
func BuildWithClock(ctx context.Context, s *env.Shared, name, pkg string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("ask for GOROOT: %w", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	text, err := os.ReadFile(filepath.Join(dir, "time.go"))
	if err != nil {
		return "", fmt.Errorf("read the package time: %w", err)
	}
	if strings.Count(string(text), plainNow) != 1 {
		return "", errOverlay
	}
	patched, added, overlay := filepath.Join(s.Work, "time.go"), filepath.Join(s.Work, "chaos.go"), filepath.Join(s.Work, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(dir, "time.go"): patched, filepath.Join(dir, "chaos.go"): added,
	}})
	if err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	for file, content := range map[string]string{
		patched: strings.Replace(string(text), plainNow, skewedNow, 1), added: clockSource, overlay: string(replace),
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			return "", fmt.Errorf("write the overlay: %w", err)
		}
	}
	return s.Build(ctx, name, pkg, "-overlay", overlay)
}

// Clock is the clock of a process: how many seconds ahead it is. It can be set
// while the process runs.
type Clock struct{ memory []byte }

// NewClock makes the file of a clock that is not ahead.
func NewClock(file string) (*Clock, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make a clock: %w", err)
	}
	defer f.Close()
	if err := f.Truncate(8); err != nil {
		return nil, fmt.Errorf("make a clock: %w", err)
	}
	memory, err := syscall.Mmap(int(f.Fd()), 0, 8, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map a clock: %w", err)
	}
	return &Clock{memory}, nil
}

// Set makes the clock jump to so far ahead of the machine's.
func (c *Clock) Set(ahead time.Duration) {
	binary.NativeEndian.PutUint64(c.memory, uint64(ahead/time.Second)) // eight bytes on a boundary go at once
}

// Close forgets the clock. Programs that read it keep what it says.
func (c *Clock) Close() { _ = syscall.Munmap(c.memory) }
