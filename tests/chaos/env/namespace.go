package env

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
)

// StartOver starts this program over in a network namespace of its own, and
// then returns nil there. An error says why there is none; everything else
// works without.
func StartOver(ctx context.Context) error {
	if os.Getenv(networkVariable) != "" {
		return prepareNamespace(ctx)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: only root may make network namespaces", os.ErrPermission)
	}
	// Without the flag that closes it when this program becomes another.
	here, err := syscall.Open("/proc/self/ns/net", syscall.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("open the network namespace: %w", err)
	}
	// The namespace belongs to the thread, which is all that is left of this
	// process when it becomes the same program once more. If it does not, no
	// goroutine may find itself there.
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("make a network namespace: %w", err)
	}
	environment := append(os.Environ(), networkVariable+"="+strconv.Itoa(here))
	if err := syscall.Exec("/proc/self/exe", os.Args, environment); err != nil {
		panic(fmt.Sprintf("start over in a network namespace: %v", err))
	}
	return nil
}

// newNamespace starts a process in a network namespace of its own, which ends
// with this one.
func newNamespace() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// networkVariable says that this program runs in a network namespace of its
// own, and which of its open files is the one that it came from.
const networkVariable = "LANEKEEPER_CHAOS_NETWORK"

// prepareNamespace makes the namespace in which this program has started over
// ready to connect others.
func prepareNamespace(ctx context.Context) error {
	if err := ip(ctx, nil, "link set lo up"); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		return fmt.Errorf("forward between hosts: %w", err)
	}
	return nil
}

// outside returns what becomes a program in the network that this one came
// from, which is where a compiler may find modules that it needs.
func outside() []string {
	file := os.Getenv(networkVariable)
	if file == "" {
		return nil
	}
	return []string{"nsenter", fmt.Sprintf("--net=/proc/%d/fd/%s", os.Getpid(), file), "--"}
}
