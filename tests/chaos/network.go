package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// network is hosts that reach each other through this one: each is a network
// namespace with one cable to ours, which forwards. The addresses exist in
// these namespaces only, ours included, and all of it vanishes with the
// processes that run there, however they end. One goroutine at a time uses it.
type network struct {
	hosts   []*host
	dropped []link
}

// host is one of them.
type host struct {
	name   string
	ip     string
	keeper *exec.Cmd // holds the namespace as long as nothing else does
}

// link is one direction of what two hosts, by their numbers, send each other.
type link struct{ from, to int }

// newNetwork makes the hosts, all of which reach each other.
func newNetwork(ctx context.Context, names ...string) (*network, error) {
	n := &network{}
	for i, name := range names {
		h := &host{name: name, ip: fmt.Sprintf("10.77.%d.2", i+1)}
		h.keeper = exec.Command("sleep", "infinity")
		h.keeper.SysProcAttr = newNamespace()
		if err := h.keeper.Start(); err != nil {
			n.remove()
			return nil, fmt.Errorf("make a network namespace: %w", err)
		}
		n.hosts = append(n.hosts, h)
		if err := h.connect(ctx, i); err != nil {
			n.remove()
			return nil, err
		}
	}
	return n, nil
}

// connect lays the cable between the host and this one.
func (h *host) connect(ctx context.Context, number int) error {
	cable := cable(number)
	gate := fmt.Sprintf("10.77.%d.1", number+1)
	for _, line := range []string{
		"link add " + cable + " type veth peer name eth0 netns " + strconv.Itoa(h.keeper.Process.Pid),
		"address add " + gate + "/30 dev " + cable,
		"link set " + cable + " up",
	} {
		if err := ip(ctx, nil, line); err != nil {
			return err
		}
	}
	for _, line := range []string{
		"link set lo up", "address add " + h.ip + "/30 dev eth0", "link set eth0 up", "route add default via " + gate,
	} {
		if err := ip(ctx, h.wrap(), line); err != nil {
			return err
		}
	}
	return nil
}

// cable returns the name of the near end of a host's cable.
func cable(number int) string { return "lk" + strconv.Itoa(number) }

// wrap returns what becomes a program on the host.
func (h *host) wrap() []string {
	return []string{"nsenter", "--net=/proc/" + strconv.Itoa(h.keeper.Process.Pid) + "/ns/net", "--"}
}

// ip runs iproute2's program.
func ip(ctx context.Context, wrap []string, line string) error {
	program := "ip"
	if _, err := exec.LookPath(program); err != nil {
		program = "/usr/sbin/ip" // not on everybody's path
	}
	words := slices.Concat(wrap, []string{program}, strings.Fields(line))
	if text, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", line, err, strings.TrimSpace(string(text)))
	}
	return nil
}

// drop loses, from now on, everything that is sent along these links, without
// a word to whoever sends it.
func (n *network) drop(ctx context.Context, links []link) error {
	for _, l := range links {
		if err := ip(ctx, nil, "rule add "+n.rule(l)); err != nil {
			return err
		}
		n.dropped = append(n.dropped, l)
	}
	return nil
}

// heal ends all drops.
func (n *network) heal(ctx context.Context) error {
	var errs []error
	for _, l := range n.dropped {
		errs = append(errs, ip(ctx, nil, "rule delete "+n.rule(l)))
	}
	n.dropped = nil
	return errors.Join(errs...)
}

func (n *network) rule(l link) string {
	return "priority 100 from " + n.hosts[l.from].ip + " to " + n.hosts[l.to].ip + " blackhole"
}

// remove ends the hosts; call it when nothing runs there any more. The cables are
// taken out first: the kernel takes its time with what was in a namespace, and
// their names are wanted again.
func (n *network) remove() {
	for i, h := range n.hosts {
		_ = ip(context.Background(), nil, "link delete "+cable(i)) // it may not be there yet
		_ = h.keeper.Process.Kill()
		_ = h.keeper.Wait() // killed
	}
}

// networkVariable tells this program that it runs in a network namespace of its
// own, and which of its open files is the one that it came from.
const networkVariable = "LANEKEEPER_CHAOS_NETWORK"

// prepareNetwork makes the namespace that this program has started over in fit
// to connect others.
func prepareNetwork(ctx context.Context) error {
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

var errNoNetwork = errors.New("no network of its own")

// network makes the hosts, or says why it cannot.
func (st *stage) network(ctx context.Context, names ...string) (*network, error) {
	if err := st.suite.options.noNetwork; err != nil {
		return nil, fmt.Errorf("%w: %w", errNoNetwork, err)
	}
	return newNetwork(ctx, names...)
}
