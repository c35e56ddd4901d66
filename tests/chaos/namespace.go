package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
)

// enterNetwork starts this program over in a network namespace of its own, and
// then returns nil there. An error says why there is none; everything else
// goes on without.
func enterNetwork(ctx context.Context) error {
	if os.Getenv(networkVariable) != "" {
		return prepareNetwork(ctx)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: only root may make network namespaces", os.ErrPermission)
	}
	// Without the flag that closes it with this program.
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
