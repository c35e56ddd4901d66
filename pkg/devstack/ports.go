package devstack

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// The range that private servers listen in. It lies below the one that the
// kernel takes the ports of outgoing connections from (32768 and up on Linux).
// From :0 a server would get one of those, and while it is down, a client that
// dials again and again can be given the server's port for its own end:
// the connection then connects to itself, and the server cannot come back.
const (
	firstPort = 20000
	lastPort  = 31999
)

// errNoPort: no port was free in many tries.
var errNoPort = errors.New("no free port on 127.0.0.1")

// FreePorts returns n different ports of 127.0.0.1 that no process listens on at
// the moment, and that no outgoing connection will be given.
func FreePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	seen := map[int]bool{}
	for range 1000 {
		if len(ports) == n {
			return ports, nil
		}
		port := firstPort + rand.IntN(lastPort-firstPort+1) //nolint:gosec // a port is no secret
		if !seen[port] && portFree(port) {
			seen[port] = true
			ports = append(ports, port)
		}
	}
	return nil, fmt.Errorf("find a port from %d to %d: %w", firstPort, lastPort, errNoPort)
}

// portFree reports whether a server could listen on port.
func portFree(port int) bool {
	l, err := net.Listen("tcp", loopback(port)) //nolint:noctx // returns at once
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// allFree reports whether none of ports is taken.
func allFree(ports []int) bool {
	for _, port := range ports {
		if !portFree(port) {
			return false
		}
	}
	return true
}

// readPorts returns the n ports in a file, or nil where it has others.
func readPorts(path string, n int) []int {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var ports []int
	for field := range strings.FieldsSeq(string(text)) {
		port, err := strconv.Atoi(field)
		if err != nil || port < 1 || port > 65535 || slices.Contains(ports, port) {
			return nil
		}
		ports = append(ports, port)
	}
	if len(ports) != n {
		return nil
	}
	return ports
}

// writePorts writes them to a file.
func writePorts(path string, ports []int) error {
	return account{}.write(path, strings.Trim(fmt.Sprint(ports), "[]")+"\n", 0o644)
}

// loopback returns the address that a server on port has.
func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
