//go:build unix && !linux

package devstack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// processAttributes puts a child into a process group of its own, so that a
// Ctrl-C meant for us does not reach it. It outlives us when we are killed;
// the next start ends it.
func processAttributes(syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// descendants returns the children of pid, their children and so on.
func descendants(pid int) []int {
	out, err := exec.Command("ps", "-axo", "pid=,ppid=").Output() //nolint:noctx // returns at once
	if err != nil {
		return nil
	}
	children := map[int][]int{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) != 2 {
			continue
		}
		child, err1 := strconv.Atoi(fields[0])
		parent, err2 := strconv.Atoi(fields[1])
		if err1 == nil && err2 == nil {
			children[parent] = append(children[parent], child)
		}
	}
	return gather(children, pid)
}

// alive reports whether there is a process. Its parent is gone, so it is no zombie for
// long.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// leftovers returns the processes that run one of programs with an argument
// that names dir.
func leftovers(dir string, programs []string) ([]int, error) {
	out, err := exec.Command("ps", "-axwwo", "pid=,command=").Output() //nolint:noctx // returns at once
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var found []int
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		pid, err := strconv.Atoi(fields[0])
		if err != nil || pid == os.Getpid() || !isOneOf(filepath.Base(fields[1]), programs) {
			continue
		}
		if namesDir(dir, fields[2:]) {
			found = append(found, pid)
		}
	}
	return found, nil
}
