package devstack

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrBusy: another process runs servers in the directory.
var ErrBusy = errors.New("servers already run in this directory")

// errNotOurs: a directory that we would use belongs to another user.
var errNotOurs = errors.New("belongs to somebody else")

// temporaryPrefix begins the name of directories made by TempDir.
const temporaryPrefix = "lanekeeper-test-"

// Dir is a directory for servers that is locked for this process. The lock
// ends with Close, or with the process.
type Dir struct {
	path string
	lock *os.File
}

// OpenDir makes the directory at path unless it is there, and locks it. As
// root it must be reachable for the accounts that run the servers; where it is
// not, a directory below /var/tmp that belongs to path takes its place, and
// progress says so. It fails with ErrBusy when another process has it.
func OpenDir(path string, progress io.Writer) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the directory: %w", err)
	}
	if path, err = reachable(path, progress); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = fmt.Errorf("%w: %s, started by process %s; stop that one first", ErrBusy, path, readOwner(lock))
		}
		return nil, errors.Join(err, lock.Close())
	}
	if err := writeOwner(lock); err != nil {
		return nil, errors.Join(fmt.Errorf("write lock: %w", err), lock.Close())
	}
	return &Dir{path: path, lock: lock}, nil
}

// TempDir makes and locks a directory for servers whose data are not needed
// afterwards. It removes those of earlier processes that were killed.
func TempDir() (*Dir, error) {
	base := os.TempDir()
	if err := sweep(base); err != nil {
		return nil, err
	}
	path, err := os.MkdirTemp(base, temporaryPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a temporary directory: %w", err)
	}
	return OpenDir(path, nil)
}

// Path is where the directory really is.
func (d *Dir) Path() string { return d.path }

// Close gives up the lock. The servers in it must have been stopped.
func (d *Dir) Close() error {
	if err := d.lock.Close(); err != nil {
		return fmt.Errorf("give up lock: %w", err)
	}
	return nil
}

// Remove removes the directory with all it holds, and gives up the lock.
func (d *Dir) Remove() error {
	return errors.Join(os.RemoveAll(d.path), d.Close())
}

// reachable makes the directory and returns it, or its stand-in.
func reachable(path string, progress io.Writer) (string, error) {
	if err := makeOpen(path); err != nil {
		return "", err
	}
	stuck := unreachableFor(path)
	if stuck == "" {
		return path, nil
	}
	substitute := fmt.Sprintf("/var/tmp/lanekeeper-%x", sha256.Sum256([]byte(path)))[:len("/var/tmp/lanekeeper-")+12]
	if err := makeOpen(substitute); err != nil {
		return "", err
	}
	info, err := os.Lstat(substitute)
	if err != nil {
		return "", fmt.Errorf("look at %s: %w", substitute, err)
	}
	// Everybody may write to /var/tmp: it must be the one that we made.
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || int(owner.Uid) != os.Geteuid() {
		return "", fmt.Errorf("%s: %w", substitute, errNotOurs)
	}
	if stuck := unreachableFor(substitute); stuck != "" {
		return "", fmt.Errorf("neither %s nor %s can be reached by the account %s: %w", path, substitute, stuck, fs.ErrPermission)
	}
	say(progress, "%s cannot be reached by the account %s: the servers' data are in %s", path, stuck, substitute)
	return substitute, nil
}

// unreachableFor returns the name of a server's account that cannot get into
// dir, or nothing. An account that does not exist is not of interest here.
func unreachableFor(dir string) string {
	servers := map[string]string{"postgres": "postgres", "rabbitmq": "rabbitmq", "redis": "redis"}
	for name, below := range servers {
		runAs, err := serverAccount(name, filepath.Join(dir, below))
		if err == nil && !runAs.reaches(dir) {
			return runAs.name
		}
	}
	return ""
}

// makeOpen makes a directory that everybody may pass through.
func makeOpen(path string) error {
	const mode = 0o755
	if err := os.MkdirAll(path, mode); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("look at directory: %w", err)
	}
	// A umask, or MkdirTemp, may have kept others out.
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && info.IsDir() && info.Mode().Perm()&0o011 != 0o011 && int(owner.Uid) == os.Geteuid() {
		if err := os.Chmod(path, mode); err != nil {
			return fmt.Errorf("open directory: %w", err)
		}
	}
	return nil
}

// sweep removes temporary directories whose owners are gone.
func sweep(base string) error {
	found, err := filepath.Glob(filepath.Join(base, temporaryPrefix+"*"))
	if err != nil {
		return fmt.Errorf("look for old directories: %w", err)
	}
	for _, path := range found {
		if _, err := os.Stat(filepath.Join(path, "lock")); err != nil {
			continue // being made, or not ours to look into
		}
		old, err := OpenDir(path, nil)
		if err != nil {
			continue // in use, or another user's
		}
		pids, err := leftovers(path, serverPrograms())
		if err != nil {
			return errors.Join(err, old.Close())
		}
		signalAll(pids, syscall.SIGKILL)
		if err := old.Remove(); err != nil {
			return fmt.Errorf("remove %s of an earlier run: %w", path, err)
		}
	}
	return nil
}

// serverPrograms are the programs that a private server consists of.
func serverPrograms() []string {
	return []string{"postgres", "initdb", "beam.smp", "epmd", "erl_child_setup", "inet_gethost", "redis-server", "redis-check-rdb"}
}

func readOwner(lock *os.File) string {
	content := make([]byte, 32)
	n, _ := lock.ReadAt(content, 0) // io.EOF is the normal end
	if pid := strings.TrimSpace(string(content[:n])); pid != "" {
		return pid
	}
	return "(unknown)"
}

func writeOwner(lock *os.File) error {
	if err := lock.Truncate(0); err != nil {
		return err
	}
	_, err := lock.WriteAt([]byte(fmt.Sprintln(os.Getpid())), 0)
	return err
}
