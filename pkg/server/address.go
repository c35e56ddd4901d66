package server

import (
	"net"
	"os"
	"strings"
)

// bootIDPath has a number that Linux draws when a machine starts.
const bootIDPath = "/proc/sys/kernel/random/boot_id"

// processAddress is different for each process that runs at the moment, and the
// same for the one that comes after this one on its port: that one takes over its
// row in the table of replicas at once, and need not wait until the row is too old.
//
// Only on one machine and in one network namespace can no two processes listen
// on the same address and port. Machines may share a name, hence the boot id;
// containers of one machine share that, and may be given the same name, hence
// an address of their own. Where something of this cannot be found out the
// rest has to do. What changes with a restart of the machine or the network
// costs nothing but that wait.
func processAddress(listener net.Addr) string {
	var parts []string
	if host, err := os.Hostname(); err == nil {
		parts = append(parts, host)
	}
	if id, err := os.ReadFile(bootIDPath); err == nil {
		parts = append(parts, strings.TrimSpace(string(id)))
	}
	if addresses, err := net.InterfaceAddrs(); err == nil {
		parts = append(parts, firstAddress(addresses))
	}
	return strings.Join(append(parts, listener.String()), " ")
}

// firstAddress returns the first of these that others may reach, or "".
func firstAddress(addresses []net.Addr) string {
	for _, a := range addresses {
		if network, ok := a.(*net.IPNet); ok && network.IP.IsGlobalUnicast() {
			return network.IP.String()
		}
	}
	return ""
}

// reachable replaces the host that means every interface.
func reachable(hostPort string) string {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return hostPort
	}
	if host == "" || net.ParseIP(host).IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
