package devtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/testservers"
)

// startLimit is how long a shared server may take to start, including the
// download of its image.
const startLimit = 6 * time.Minute

// shared holds the servers that the tests of this program share. It is package
// state because nothing else lives as long as a test program does.
//
//nolint:gochecknoglobals // see above
var shared = map[testservers.Kind]func() (*helper, error){
	testservers.Postgres: sync.OnceValues(func() (*helper, error) { return startHelper(testservers.Postgres) }),
	testservers.RabbitMQ: sync.OnceValues(func() (*helper, error) { return startHelper(testservers.RabbitMQ) }),
	testservers.Redis:    sync.OnceValues(func() (*helper, error) { return startHelper(testservers.Redis) }),
}

// sharedServer returns the server of that kind, and logs which it is.
func sharedServer(t testing.TB, kind testservers.Kind) testservers.Server {
	t.Helper()
	h, err := shared[kind]()
	require.NoError(t, err)
	t.Logf("%s: %s", kind, h.server.From)
	return h.server
}

// helper is a server and the process that keeps it up, if there is one.
type helper struct {
	server testservers.Server
	// lifeline is open as long as this process lives; then the helper ends.
	lifeline *os.File
}

// startHelper takes the server that the environment names, or has another
// process start one.
func startHelper(kind testservers.Kind) (*helper, error) {
	mode, err := testservers.ModeFromEnv()
	if err != nil {
		return nil, err
	}
	if os.Getenv(kind.Variable()) != "" && (mode == testservers.ModeAuto || mode == testservers.ModeEnv) {
		return &helper{server: testservers.FromEnv(kind)}, nil
	}
	said, err := os.CreateTemp("", "teststack-*.log")
	if err != nil {
		return nil, fmt.Errorf("make a log: %w", err)
	}
	h, err := runHelper(kind, said)
	if err != nil {
		text, readErr := os.ReadFile(said.Name())
		err = errors.Join(fmt.Errorf("%w:\n%s", err, text), readErr)
	}
	// The helper has it open and writes on.
	return h, errors.Join(err, said.Close(), os.Remove(said.Name()))
}

func runHelper(kind testservers.Kind, said *os.File) (*helper, error) {
	stdin, lifeline, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	answer, stdout, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a pipe: %w", err), stdin.Close(), lifeline.Close())
	}
	cmd := exec.Command("go", "run", "lanekeeper/pkg/devstack/cmd/teststack", "serve", string(kind)) //nolint:gosec,noctx // ends with the lifeline
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, said
	// Out of reach of a Ctrl-C: it ends when we do, and cleans up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	if err = errors.Join(err, stdin.Close(), stdout.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("start the helper (or run the tests through make test): %w", err), answer.Close(), lifeline.Close())
	}
	h := &helper{lifeline: lifeline}
	if err = answer.SetReadDeadline(time.Now().Add(startLimit)); err == nil {
		err = json.NewDecoder(answer).Decode(&h.server)
	}
	if err = errors.Join(err, answer.Close()); err != nil {
		err = fmt.Errorf("start %s: %w", kind, err)
		if errors.Is(err, io.EOF) {
			return nil, errors.Join(err, lifeline.Close(), cmd.Wait()) // it said why
		}
		return nil, errors.Join(err, lifeline.Close())
	}
	return h, nil
}
