package testservers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/ory/dockertest/v3"
	docker "github.com/ory/dockertest/v3/docker"

	"lanekeeper/pkg/devstack"
)

const (
	// startLimit is how long a server in a container may take to answer.
	startLimit = 2 * time.Minute
	// stopLimit is how long it may take to stop before it is killed.
	stopLimit = 20 * time.Second
	// containerFiles is the file limit: a broker at its limit does not fail,
	// it hangs, and one without a limit uses gigabytes for a table of it.
	containerFiles = 20000
	// databaseName is the database that PostgreSQL in a container has.
	databaseName = "lanekeeper"
)

// errEnded: the server in a container ended instead of answering.
var errEnded = errors.New("ended by itself")

// recipe says how a container of one kind is run.
type recipe struct {
	ports []string // in the container; the first is the server's
	env   []string
	args  []string
	// stop is the command, and user who runs it, that ends the server in good
	// order. A signal would reach whatever the image starts first, which may
	// not be the server.
	stop []string
	user string
}

func recipeOf(kind Kind, durable bool) recipe {
	switch kind {
	case Postgres:
		r := recipe{
			ports: []string{"5432/tcp"}, env: []string{"POSTGRES_PASSWORD=postgres", "POSTGRES_DB=" + databaseName},
			stop: []string{"sh", "-c", `exec pg_ctl -D "$PGDATA" -m fast -W stop`}, user: "postgres",
			args: []string{"postgres", "-c", "max_connections=500"},
		}
		if !durable {
			r.args = append(r.args, "-c", "fsync=off", "-c", "full_page_writes=off")
		}
		return r
	case RabbitMQ:
		return recipe{ports: []string{"5672/tcp", "15672/tcp"}, stop: []string{"rabbitmqctl", "stop"}}
	case Redis:
		return recipe{
			ports: []string{"6379/tcp"}, stop: []string{"redis-cli", "shutdown", "nosave"},
			args: []string{"redis-server", "--save", "", "--appendonly", "no", "--databases", "1024", "--bind", "0.0.0.0", "--protected-mode", "no"},
		}
	}
	return recipe{}
}

// container is a server in a container. It implements Private.
type container struct {
	engine *engine
	kind   Kind
	recipe recipe
	ports  []int  // on the host, as recipe.ports
	id     string // empty before the first start
}

func newContainer(e *engine, kind Kind, o Options) *container {
	return &container{engine: e, kind: kind, recipe: recipeOf(kind, o.Durable)}
}

// URL implements Private.
func (c *container) URL() string {
	switch address := c.address(0); c.kind {
	case Postgres:
		return "postgres://postgres:postgres@" + address + "/" + databaseName + "?sslmode=disable"
	case RabbitMQ:
		return "amqp://guest:guest@" + address + "/"
	case Redis:
		return "redis://" + address + "/0"
	}
	return ""
}

func (c *container) managementURL() string {
	if c.kind != RabbitMQ {
		return ""
	}
	return "http://guest:guest@" + c.address(1)
}

func (c *container) address(i int) string {
	if i >= len(c.ports) {
		return ""
	}
	return net.JoinHostPort(c.engine.host, strconv.Itoa(c.ports[i]))
}

// Start implements Private.
func (c *container) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := c.run(); err != nil {
		return fmt.Errorf("start a container of %s: %w", imageOf(c.kind), err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.probe(ctx)
		if err == nil {
			return nil
		}
		if err := c.alive(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for a container of %s (%w), last: %w", imageOf(c.kind), ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// run makes the container, or starts the one that there is.
func (c *container) run() error {
	if c.id != "" {
		err := c.engine.pool.Client.StartContainer(c.id, nil)
		if running := (*docker.ContainerAlreadyRunning)(nil); errors.As(err, &running) {
			return nil
		}
		return err
	}
	ports, err := devstack.FreePorts(len(c.recipe.ports))
	if err != nil {
		return err
	}
	bindings := map[docker.Port][]docker.PortBinding{}
	for i, inside := range c.recipe.ports {
		bindings[docker.Port(inside)] = []docker.PortBinding{{HostIP: c.engine.bindTo, HostPort: strconv.Itoa(ports[i])}}
	}
	repository, tag, _ := strings.Cut(imageOf(c.kind), ":")
	name := "lanekeeper-test-" + uuid.NewString()
	resource, err := c.engine.pool.RunWithOptions(&dockertest.RunOptions{
		Name: name, Repository: repository, Tag: tag, Env: c.recipe.env, Cmd: c.recipe.args,
		PortBindings: bindings, Labels: map[string]string{ownerLabel: owner()},
	}, func(host *docker.HostConfig) {
		host.PublishAllPorts = false
		host.Ulimits = []docker.ULimit{{Name: "nofile", Soft: containerFiles, Hard: containerFiles}}
	})
	if err != nil {
		return errors.Join(err, c.engine.remove(name)) // it may have been made already
	}
	c.id, c.ports = resource.Container.ID, ports
	return nil
}

// alive fails with what the server said last when it runs no more.
func (c *container) alive() error {
	now, err := c.engine.pool.Client.InspectContainer(c.id)
	if err != nil {
		return fmt.Errorf("look at the container of %s: %w", imageOf(c.kind), err)
	}
	if now.State.Running {
		return nil
	}
	var said bytes.Buffer
	err = c.engine.pool.Client.Logs(docker.LogsOptions{
		Container: c.id, OutputStream: &said, ErrorStream: &said, Stdout: true, Stderr: true, Tail: "15",
	})
	ended := fmt.Errorf("the container of %s %w (exit status %d):\n%s", imageOf(c.kind), errEnded, now.State.ExitCode, said.String())
	return errors.Join(ended, err)
}

// probe reports whether the server answers.
func (c *container) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	switch c.kind {
	case Postgres:
		return devstack.PingPostgres(ctx, c.URL())
	case RabbitMQ:
		return errors.Join(devstack.PingRabbitMQ(ctx, c.URL()), devstack.PingManagement(ctx, c.managementURL()))
	case Redis:
		return devstack.PingRedis(ctx, c.address(0))
	}
	return errUnknown
}

// Stop implements Private.
func (c *container) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	_ = c.Resume() // fails unless it is paused
	err := c.ask(ctx, c.recipe.stop, c.recipe.user)
	if err == nil {
		err = c.gone(ctx)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("stop %s, which was killed: %w", c.kind, err), c.kill(context.WithoutCancel(ctx)))
	}
	return nil
}

// Kill implements Private.
func (c *container) Kill() error { return c.kill(context.Background()) }

// Pause implements Private.
func (c *container) Pause() error { return c.engine.pool.Client.PauseContainer(c.id) }

// Resume implements Private.
func (c *container) Resume() error { return c.engine.pool.Client.UnpauseContainer(c.id) }

// Remove implements Private.
func (c *container) Remove() error {
	defer c.engine.close()
	if c.id == "" {
		return nil
	}
	if err := c.engine.remove(c.id); err != nil {
		return fmt.Errorf("remove the container of %s: %w", c.kind, err)
	}
	c.id = ""
	return nil
}

func (c *container) kill(ctx context.Context) error {
	_ = c.Resume() // a paused server would not get the signal
	err := c.engine.pool.Client.KillContainer(docker.KillContainerOptions{ID: c.id, Signal: docker.SIGKILL})
	if ended := (*docker.ContainerNotRunning)(nil); err != nil && !errors.As(err, &ended) {
		return fmt.Errorf("kill %s: %w", c.kind, err)
	}
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	return c.gone(ctx)
}

// ask runs a command in the container. How it ends does not matter: the
// container may end before it does.
func (c *container) ask(ctx context.Context, command []string, user string) error {
	exec, err := c.engine.pool.Client.CreateExec(docker.CreateExecOptions{Container: c.id, Cmd: command, User: user, Context: ctx})
	if err != nil {
		return fmt.Errorf("run %s: %w", command[0], err)
	}
	if err := c.engine.pool.Client.StartExec(exec.ID, docker.StartExecOptions{Detach: true, Context: ctx}); err != nil {
		return fmt.Errorf("run %s: %w", command[0], err)
	}
	return nil
}

// gone waits until the server does not run any more.
func (c *container) gone(ctx context.Context) error {
	_, err := c.engine.pool.Client.WaitContainerWithContext(c.id, ctx)
	return err
}
