package testservers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ory/dockertest/v3"
	docker "github.com/ory/dockertest/v3/docker"
)

const (
	// pingLimit is how long a Docker engine may take to answer.
	pingLimit = 3 * time.Second
	// pullLimit is how long an image may take to come.
	pullLimit = 5 * time.Minute
	// ownerLabel marks our containers with the process that they belong to.
	ownerLabel = "lanekeeper.test.owner"
)

// imageOf returns the image of a kind of server.
func imageOf(kind Kind) string {
	switch kind {
	case Postgres:
		return "postgres:17"
	case RabbitMQ:
		return "rabbitmq:4-management"
	case Redis:
		return "redis:8"
	}
	return ""
}

// engine is a Docker engine that answered.
type engine struct {
	pool *dockertest.Pool
	// host is where published ports are, bindTo what they are bound to there.
	host, bindTo string
}

// openEngine finds the Docker engine as the docker command does, through
// DOCKER_HOST or the usual socket, and removes the containers of owners who
// are gone.
func openEngine(ctx context.Context) (*engine, error) {
	pool, err := dockertest.NewPool("")
	if err != nil {
		return nil, fmt.Errorf("find the Docker engine: %w", err)
	}
	ping, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	if err := pool.Client.PingWithContext(ping); err != nil {
		return nil, fmt.Errorf("no Docker engine: %w", err)
	}
	e := &engine{pool: pool, host: "127.0.0.1", bindTo: "127.0.0.1"}
	if remote, err := url.Parse(os.Getenv("DOCKER_HOST")); err == nil && remote.Hostname() != "" {
		e.host, e.bindTo = remote.Hostname(), "0.0.0.0"
	}
	if err := e.sweep(); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// close lets go of the connections. It may be called on nil.
func (e *engine) close() {
	if e != nil {
		e.pool.Client.HTTPClient.CloseIdleConnections()
	}
}

// ensureImage makes sure that an image is there, and pulls it if it is not.
func (e *engine) ensureImage(ctx context.Context, image string, progress io.Writer) error {
	if _, err := e.pool.Client.InspectImage(image); err == nil {
		return nil
	} else if !errors.Is(err, docker.ErrNoSuchImage) {
		return fmt.Errorf("look for image %s: %w", image, err)
	}
	say(progress, "docker: pulling %s", image)
	ctx, cancel := context.WithTimeout(ctx, pullLimit)
	defer cancel()
	repository, tag, _ := strings.Cut(image, ":")
	pull := docker.PullImageOptions{Repository: repository, Tag: tag, Context: ctx}
	if err := e.pool.Client.PullImage(pull, docker.AuthConfiguration{}); err != nil {
		return fmt.Errorf("image %s is not there and cannot be pulled: %w", image, err)
	}
	return nil
}

// sweep removes containers whose owners, on this machine, are gone.
func (e *engine) sweep() error {
	found, err := e.pool.Client.ListContainers(docker.ListContainersOptions{
		All: true, Filters: map[string][]string{"label": {ownerLabel}},
	})
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	for _, c := range found {
		host, pid, _ := strings.Cut(c.Labels[ownerLabel], "/")
		n, err := strconv.Atoi(pid)
		if err != nil || host != hostname() || !errors.Is(syscall.Kill(n, 0), syscall.ESRCH) {
			continue
		}
		if err := e.remove(c.ID); err != nil {
			return fmt.Errorf("remove the container of an earlier run: %w", err)
		}
	}
	return nil
}

// remove removes a container with its volumes. One that is gone is fine.
func (e *engine) remove(id string) error {
	err := e.pool.Client.RemoveContainer(docker.RemoveContainerOptions{ID: id, Force: true, RemoveVolumes: true})
	if missing := (*docker.NoSuchContainer)(nil); errors.As(err, &missing) {
		return nil
	}
	return err
}

// owner is what ownerLabel says of this process.
func owner() string { return hostname() + "/" + strconv.Itoa(os.Getpid()) }

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}
