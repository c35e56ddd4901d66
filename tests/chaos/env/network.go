package env

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// Network is hosts that reach each other through this one: each is a network
// namespace with one cable to ours, which forwards. The addresses exist in
// these namespaces only, ours included, and all of it vanishes with the
// processes that run there, however they end. One goroutine at a time uses it.
type Network struct {
	Hosts   []*Host
	dropped []Link
}

// Host is one of them.
type Host struct {
	name   string
	ip     string
	keeper *exec.Cmd // holds the namespace as long as nothing else does
}

// Link is one direction of what two hosts, by their numbers, send each other.
type Link struct{ From, To int }

// newNetwork makes the hosts, all of which reach each other.
func newNetwork(ctx context.Context, names ...string) (*Network, error) {
	n := &Network{}
	for i, name := range names {
		h := &Host{name: name, ip: fmt.Sprintf("10.77.%d.2", i+1)}
		h.keeper = exec.Command("sleep", "infinity")
		h.keeper.SysProcAttr = newNamespace()
		if err := h.keeper.Start(); err != nil {
			n.Remove()
			return nil, fmt.Errorf("make a network namespace: %w", err)
		}
		n.Hosts = append(n.Hosts, h)
		if err := h.connect(ctx, i); err != nil {
			n.Remove()
			return nil, err
		}
	}
	return n, nil
}

// connect lays the cable between the host and this one.
func (h *Host) connect(ctx context.Context, number int) error {
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
func (h *Host) wrap() []string {
	return []string{"nsenter", "--net=/proc/" + strconv.Itoa(h.keeper.Process.Pid) + "/ns/net", "--"}
}

// ip runs iproute2's program.
func ip(ctx context.Context, wrap []string, line string) error {
	program := "ip"
	if _, err := exec.LookPath(program); err != nil {
		program = "/usr/sbin/ip" // not on every account's path
	}
	words := slices.Concat(wrap, []string{program}, strings.Fields(line))
	if text, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", line, err, strings.TrimSpace(string(text)))
	}
	return nil
}

// Drop loses, from now on, everything that is sent along these links, without
// a word to the sender.
func (n *Network) Drop(ctx context.Context, links []Link) error {
	for _, l := range links {
		if err := ip(ctx, nil, "rule add "+n.rule(l)); err != nil {
			return err
		}
		n.dropped = append(n.dropped, l)
	}
	return nil
}

// Heal ends all drops.
func (n *Network) Heal(ctx context.Context) error {
	var errs []error
	for _, l := range n.dropped {
		errs = append(errs, ip(ctx, nil, "rule delete "+n.rule(l)))
	}
	n.dropped = nil
	return errors.Join(errs...)
}

func (n *Network) rule(l Link) string {
	return "priority 100 from " + n.Hosts[l.From].ip + " to " + n.Hosts[l.To].ip + " blackhole"
}

// Remove ends the hosts; call it when nothing runs there any more. The cables are
// taken out first: the kernel takes its time with what was in a namespace, and
// their names are wanted again.
func (n *Network) Remove() {
	for i, h := range n.Hosts {
		_ = ip(context.Background(), nil, "link delete "+cable(i)) // it may not be there yet
		_ = h.keeper.Process.Kill()
		_ = h.keeper.Wait() // killed
	}
}
