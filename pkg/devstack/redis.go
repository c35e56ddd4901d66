package devstack

import (
	"context"
	"path/filepath"
	"strconv"
	"syscall"
)

// redisDatabases is how many databases a private Redis has.
const redisDatabases = 1024

// Redis is one private Redis server. It keeps nothing on disk: its data end
// with it. It can be stopped, killed, paused and started again on the same
// port. Safe for concurrent use.
type Redis struct {
	options Options
	server  server
}

// NewRedis returns a server that works in the directory redis below
// options.Dir. Nothing happens before Start.
func NewRedis(options Options) *Redis {
	r := &Redis{options: options}
	r.server = server{
		keep: filepath.Join(options.Dir, "redis.ports"),
		name: "Redis", stopWith: syscall.SIGTERM, nPorts: 1,
		launcher: r, progress: options.Progress, exits: make(chan error, 1),
	}
	return r
}

// Start starts the server and returns when it answers. A running server is
// left alone. It fails with a *NotInstalledError when the program is missing.
func (r *Redis) Start(ctx context.Context) error { return r.server.start(ctx) }

// Stop ends the server. It is killed when that takes long or when ctx ends,
// and that is an error.
func (r *Redis) Stop(ctx context.Context) error { return r.server.stop(ctx) }

// Kill ends the server with SIGKILL.
func (r *Redis) Kill() { r.server.kill() }

// Pause freezes the server (SIGSTOP).
func (r *Redis) Pause() error { return r.server.pauseMain() }

// Resume ends a pause.
func (r *Redis) Resume() error { return r.server.resumeMain() }

// Exited gets the reason when the server ends without having been asked to.
func (r *Redis) Exited() <-chan error { return r.server.exits }

// URL is where database 0 is, from the first Start on.
func (r *Redis) URL() string { return "redis://" + loopback(r.server.port(0)) + "/0" }

func (r *Redis) home() string { return filepath.Join(r.options.Dir, "redis") }

// launch implements launcher.
func (r *Redis) launch(ctx context.Context, ports []int) (*process, error) {
	path, err := findRedis()
	if err != nil {
		return nil, err
	}
	home := r.home()
	runAs, err := serverAccount("redis", home)
	if err != nil {
		return nil, err
	}
	log, err := r.options.logFile("redis")
	if err != nil {
		return nil, err
	}
	if err := runAs.own(home); err != nil {
		return nil, err
	}
	if err := endLeftovers(ctx, home, []string{filepath.Base(path), "redis-check-rdb"}, syscall.SIGTERM, r.options.Progress); err != nil {
		return nil, err
	}
	p, err := startProcess(command{
		name: "redis-server", path: path, env: serverEnv(), dir: home, log: log, account: runAs, death: syscall.SIGKILL,
		args: []string{
			"--port", strconv.Itoa(ports[0]), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
			"--databases", strconv.Itoa(redisDatabases), "--dir", home,
		},
	}, r.server.report)
	if err != nil {
		return nil, err
	}
	if err := p.awaitReady(ctx, func(ctx context.Context) error { return PingRedis(ctx, loopback(ports[0])) }); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// cleanUp implements launcher. Nothing runs beside Redis.
func (r *Redis) cleanUp() {}
