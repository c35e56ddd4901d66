package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// recorder is no bug: it writes down when the service stores messages of which
// tenants, so that it can be seen whether two replicas ever work for one at a
// time. Each call is two lines:
//
//	begin <number> <nanoseconds> <tenant> <tenant> ...
//	end <number> <nanoseconds> [failed]
type recorder struct {
	domain.MessageRepository

	mu   sync.Mutex
	file *os.File
	last int
}

// newRecorder appends to a file, the name of which is made of path and the
// process.
func newRecorder(path string) (*recorder, error) {
	name := path + "." + strconv.Itoa(os.Getpid())
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	return &recorder{file: file}, nil
}

// AppendMessages implements domain.MessageRepository.
func (r *recorder) AppendMessages(ctx context.Context, messages []domain.Message) ([]domain.AppendResult, error) {
	var tenants bytes.Buffer
	seen := make(map[uuid.UUID]bool)
	for i := range messages {
		if id := messages[i].TenantID; !seen[id] {
			seen[id] = true
			tenants.WriteString(" " + id.String())
		}
	}
	number := r.begin(tenants.String())
	appended, err := r.MessageRepository.AppendMessages(ctx, messages)
	how := ""
	if err != nil {
		how = " failed"
	}
	r.end(number, how)
	return appended, err //nolint:wrapcheck // passed on
}

func (r *recorder) begin(tenants string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	r.write("begin %d %d%s\n", r.last, machineTime(), tenants)
	return r.last
}

func (r *recorder) end(number int, how string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write("end %d %d%s\n", number, machineTime(), how)
}

// machineTime asks the kernel: the clock of this process may have been set.
func machineTime() int64 {
	var at syscall.Timeval
	if err := syscall.Gettimeofday(&at); err != nil {
		panic(err)
	}
	return at.Nano()
}

// write needs mu. Nothing may be missing in the record, so failing ends the
// process.
func (r *recorder) write(format string, args ...any) {
	if _, err := fmt.Fprintf(r.file, format, args...); err != nil {
		panic(err)
	}
}
