package env

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
func (p *process) forgetPeak() error {
	if p.cmd == nil {
		return nil
	}
	if err := os.WriteFile(p.proc("clear_refs"), []byte("5"), 0); err != nil {
		return fmt.Errorf("reset the peak of memory: %w", err)
	}
	return nil
}

// PeakMemory returns the most that was resident since then, in bytes.
func (p *process) PeakMemory() (int64, error) {
	if p.cmd == nil {
		return 0, nil
	}
	status, err := os.ReadFile(p.proc("status"))
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

func (p *process) proc(file string) string {
	return "/proc/" + strconv.Itoa(p.ID()) + "/" + file
}
