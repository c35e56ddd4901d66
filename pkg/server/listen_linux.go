package server

import (
	"fmt"
	"os"
	"syscall"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of tcp(7), which the package syscall does
// not have.
const tcpUserTimeout = 0x12

// limitSilence sets silenceLimit for a listener, from which its connections have
// it.
func limitSilence(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = os.NewSyscallError("setsockopt", syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(silenceLimit.Milliseconds())))
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("limit silence: %w", err)
	}
	return nil
}
