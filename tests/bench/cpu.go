package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of processor time in /proc, on every Linux there is.
const tick = 10 * time.Millisecond

// cpuTimes is processor time by what spent it. It is all zero where there is
// no /proc.
type cpuTimes struct {
	service, generator, postgres, rabbitmq time.Duration
}

// program is a running process.
type program struct {
	parent int
	name   string
	spent  time.Duration
}

// programs are the running processes by their ids.
type programs map[int]program

// readPrograms returns what runs, and what it spent so far.
func readPrograms() programs {
	running := make(programs)
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return running
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		if pid, p, ok := parseStat(string(text)); ok {
			running[pid] = p
		}
	}
	return running
}

// parseStat reads a line of /proc/PID/stat, see proc(5).
func parseStat(line string) (pid int, p program, ok bool) {
	begin, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if begin < 1 || end < begin {
		return 0, p, false
	}
	const parent, user, system, enough = 1, 11, 12, 13 // counted from the state
	fields := strings.Fields(line[end+1:])
	if len(fields) < enough {
		return 0, p, false
	}
	var numbers [4]int
	for i, text := range []string{strings.TrimSpace(line[:begin]), fields[parent], fields[user], fields[system]} {
		var err error
		if numbers[i], err = strconv.Atoi(text); err != nil {
			return 0, p, false
		}
	}
	return numbers[0], program{parent: numbers[1], name: line[begin+1 : end], spent: time.Duration(numbers[2]+numbers[3]) * tick}, true
}

// since returns what was spent after earlier, by processes that still run.
// The servers are told by the names of their programs: those that this
// process started, or with ours unset all of the machine.
func (running programs) since(earlier programs, service int, ours bool) cpuTimes {
	var t cpuTimes
	own := os.Getpid()
	for pid, p := range running {
		spent := p.spent - earlier[pid].spent
		switch {
		case pid == own:
			t.generator += spent
		case pid == service:
			t.service += spent
		case ours && !running.descends(pid, own):
		case p.name == "postgres":
			t.postgres += spent
		case p.name == "beam.smp":
			t.rabbitmq += spent
		}
	}
	return t
}

// descends reports whether the process was started by that ancestor, or by one
// that was.
func (running programs) descends(pid, ancestor int) bool {
	for range len(running) {
		p, ok := running[pid]
		if !ok {
			return false
		}
		if pid = p.parent; pid == ancestor {
			return true
		}
	}
	return false
}
