package verify

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"lanekeeper/tests/chaos/report"
)

// span is when a process worked for a tenant, in nanoseconds.
type span struct {
	process    string
	begin, end int64
}

// late is work that a process ended when another one had begun to work for the
// same tenant.
type late struct {
	process string
	end     int64
}

// overlaps returns the work during which another process worked for the same
// tenant, with what was seen of it.
func overlaps(spans map[string][]span) map[late][]string {
	found := make(map[late][]string)
	for tenant, all := range spans {
		slices.SortFunc(all, func(a, b span) int { return int(a.begin - b.begin) })
		latest := make(map[string]int64) // end of the latest work, by process
		for _, s := range all {
			for process, end := range latest {
				if process != s.process && end > s.begin {
					l := late{process, end}
					found[l] = append(found[l], fmt.Sprintf("tenant %s: %s began %.1f ms before %s ended",
						tenant, s.process, float64(end-s.begin)/1e6, process))
				}
			}
			latest[s.process] = max(latest[s.process], s.end)
		}
	}
	return found
}

// readSpans reads what recorders wrote to files that begin with path. What a
// process began and did not finish ended with it, at the moment that killed has
// for it. What failed, or did not finish, is left out with storedOnly.
func readSpans(path string, killed map[string]int64, storedOnly bool) (spans map[string][]span, calls int, err error) {
	names, err := filepath.Glob(path + ".*")
	if err != nil {
		return nil, 0, fmt.Errorf("look for records: %w", err)
	}
	spans = make(map[string][]span)
	for _, name := range names {
		process := strings.TrimPrefix(name, path+".")
		n, err := readRecord(name, process, killed[process], storedOnly, spans)
		if err != nil {
			return nil, 0, err
		}
		calls += n
	}
	return spans, calls, nil
}

func readRecord(name, process string, killed int64, storedOnly bool, spans map[string][]span) (calls int, err error) {
	file, err := os.Open(name)
	if err != nil {
		return 0, fmt.Errorf("read a record: %w", err)
	}
	defer file.Close()
	type call struct {
		begin   int64
		tenants []string
	}
	open := make(map[string]call)
	finish := func(c call, end int64) {
		for _, tenant := range c.tenants {
			spans[tenant] = append(spans[tenant], span{process, c.begin, end})
		}
	}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 3 {
			break // cut off by the kill
		}
		at, err := strconv.ParseInt(words[2], 10, 64)
		if err != nil {
			break
		}
		switch words[0] {
		case "begin":
			open[words[1]] = call{at, words[3:]}
			calls++
		case "end":
			if failed := len(words) > 3; !failed || !storedOnly {
				finish(open[words[1]], at)
			}
			delete(open, words[1])
		}
	}
	for _, c := range open {
		if storedOnly {
			break
		}
		end := killed
		if end == 0 {
			end = math.MaxInt64
		}
		finish(c, end)
	}
	return calls, lines.Err()
}

// CheckOverlaps fails the result when two replicas worked for one tenant at a
// time, according to the records.
func CheckOverlaps(r *report.Result, record string, killed map[string]int64) error {
	return checkOverlaps(r, record, killed, false, 0)
}

// CheckStoring is CheckOverlaps for replicas that were cut off from the database:
// they work for a tenant without doing anything. So only what was stored counts,
// and each of them may store, once for each time, what it had begun when it was cut
// off, though another one has taken over meanwhile: it has not been told.
func CheckStoring(r *report.Result, record string, killed map[string]int64, cutOff int) error {
	return checkOverlaps(r, record, killed, true, cutOff)
}

func checkOverlaps(r *report.Result, record string, killed map[string]int64, storedOnly bool, allowed int) error {
	spans, calls, err := readSpans(record, killed, storedOnly)
	if err != nil {
		return err
	}
	found := overlaps(spans)
	r.Show("transactions recorded", "%d", calls)
	r.Show("overlaps", "%d", len(found))
	if len(found) <= allowed {
		return nil
	}
	shown := 0
	for _, texts := range found {
		if shown++; shown <= MaxExamples {
			r.Fail("two replicas worked for one tenant at a time: %s", slices.Min(texts))
		}
	}
	return nil
}
