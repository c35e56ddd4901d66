package devstack

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// processAttributes puts a child into a process group of its own, so that a
// Ctrl-C meant for us does not reach it, and ties its life to ours.
func processAttributes(death syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: death}
}

// descendants returns the children of pid, their children and so on.
func descendants(pid int) []int {
	children := map[int][]int{}
	for _, other := range allProcesses() {
		stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(other), "stat"))
		if err != nil {
			continue
		}
		// pid (name) state ppid ...; the name may hold anything.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 2 {
			continue
		}
		if parent, err := strconv.Atoi(fields[1]); err == nil {
			children[parent] = append(children[parent], other)
		}
	}
	return gather(children, pid)
}

// alive reports whether a process still holds anything: a zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	return len(fields) > 0 && !bytes.Equal(fields[0], []byte("Z")) && !bytes.Equal(fields[0], []byte("X"))
}

// leftovers returns the processes that run one of programs and work in dir:
// their working directory is in it, or an argument names it.
func leftovers(dir string, programs []string) ([]int, error) {
	var found []int
	for _, pid := range allProcesses() {
		proc := filepath.Join("/proc", strconv.Itoa(pid))
		exe, err := os.Readlink(filepath.Join(proc, "exe"))
		if err != nil || !isOneOf(filepath.Base(strings.TrimSuffix(exe, " (deleted)")), programs) {
			continue
		}
		cwd, _ := os.Readlink(filepath.Join(proc, "cwd"))
		cmdline, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
		if within(dir, cwd) || namesDir(dir, strings.Split(string(cmdline), "\x00")) {
			found = append(found, pid)
		}
	}
	return found, nil
}

func allProcesses() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}
