package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

var errNoMemory = errors.New("no VmHWM in the status of the process")

// forgetPeak begins anew to note how much memory the process takes; see
// clear_refs in proc(5).
func (s *service) forgetPeak() error {
	if s.cmd == nil {
		return nil
	}
	if err := os.WriteFile(s.proc("clear_refs"), []byte("5"), 0); err != nil {
		return fmt.Errorf("reset the peak of memory: %w", err)
	}
	return nil
}

// peakMemory returns the most that was resident since then, in bytes.
func (s *service) peakMemory() (int64, error) {
	if s.cmd == nil {
		return 0, nil
	}
	status, err := os.ReadFile(s.proc("status"))
	if err != nil {
		return 0, fmt.Errorf("read the peak of memory: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		kib, found := strings.CutPrefix(line, "VmHWM:")
		if !found {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kib), "kB")), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the peak of memory: %w", err)
		}
		return n << 10, nil
	}
	return 0, errNoMemory
}

func (s *service) proc(file string) string {
	return "/proc/" + strconv.Itoa(s.cmd.Process.Pid) + "/" + file
}
