package env

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"

	"lanekeeper/pkg/devstack"
)

// Servers are the private Postgres and RabbitMQ. They may be killed, frozen
// and started again, and keep their addresses and data.
type Servers struct {
	Postgres *devstack.Postgres
	RabbitMQ *devstack.RabbitMQ
	// cluster takes the place of rabbitmq in the scenarios that have one.
	cluster *Cluster
}

func startServers(ctx context.Context, dir string, progress io.Writer) (*Servers, error) {
	if missing := devstack.Missing(true); len(missing) > 0 {
		return nil, &devstack.NotInstalledError{Packages: missing}
	}
	// Not durable means that a crash of the machine may lose something, a
	// kill of the server does not.
	o := devstack.Options{Dir: dir, Progress: progress, Management: true}
	s := &Servers{Postgres: devstack.NewPostgres(o), RabbitMQ: devstack.NewRabbitMQ(o)}
	group, startCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.Postgres.Start(startCtx) })
	group.Go(func() error { return s.RabbitMQ.Start(startCtx) })
	if err := group.Wait(); err != nil {
		s.stop()
		return nil, fmt.Errorf("start private servers: %w", err)
	}
	return s, nil
}

// stop ends both. Their data are not needed any more.
func (s *Servers) stop() {
	s.Postgres.Kill()
	s.RabbitMQ.Kill()
}

// revive makes sure that both run and answer, whatever a scenario left.
func (s *Servers) revive(ctx context.Context) error {
	_ = s.Postgres.Resume() // fails for one that does not run; then it is started
	_ = s.RabbitMQ.Resume()
	if err := errors.Join(s.Postgres.Start(ctx), s.RabbitMQ.Start(ctx)); err != nil {
		return fmt.Errorf("start the private servers again: %w", err)
	}
	return nil
}

// Facts are the versions of the shared servers.
type Facts struct{ Postgres, RabbitMQ string }

func (s *Servers) ask(ctx context.Context) (Facts, error) {
	var f Facts
	err := withDatabase(ctx, s.Postgres.URL(), func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT current_setting('server_version')`).Scan(&f.Postgres)
	})
	if err != nil {
		return f, err
	}
	conn, err := amqp.Dial(s.RabbitMQ.URL())
	if err != nil {
		return f, fmt.Errorf("connect to the broker: %w", err)
	}
	f.RabbitMQ, _ = conn.Properties["version"].(string)
	return f, conn.Close()
}

// database makes an empty database and returns its URL.
func (s *Servers) database(ctx context.Context, name string) (string, error) {
	err := withDatabase(ctx, s.Postgres.URL(), func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE template0")
		return err
	})
	if err != nil {
		return "", fmt.Errorf("make a database: %w", err)
	}
	return withPath(s.Postgres.URL(), name)
}

func (s *Servers) dropDatabase(ctx context.Context, name string) error {
	return withDatabase(ctx, s.Postgres.URL(), func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
		return err
	})
}

// VirtualHost makes a virtual host and returns its URL.
func (s *Servers) VirtualHost(ctx context.Context, name string) (string, error) {
	if err := s.manage(ctx, http.MethodPut, "/api/vhosts/"+name, "", nil); err != nil {
		return "", err
	}
	permissions := `{"configure":".*","write":".*","read":".*"}`
	if err := s.manage(ctx, http.MethodPut, "/api/permissions/"+name+"/guest", permissions, nil); err != nil {
		return "", err
	}
	return withPath(s.RabbitMQ.URL(), name)
}

// ManagementURL is where the HTTP API of the broker is.
func (s *Servers) ManagementURL() string {
	if s.cluster != nil {
		return s.cluster.running().managementURL()
	}
	return s.RabbitMQ.ManagementURL()
}

// DropVirtualHost removes a virtual host with all that is in it.
func (s *Servers) DropVirtualHost(ctx context.Context, name string) error {
	return s.manage(ctx, http.MethodDelete, "/api/vhosts/"+name, "", nil)
}

// names lists all queues, exchanges or bindings of a virtual host by what is in the field.
func (s *Servers) names(ctx context.Context, all, vhost, field string) ([]string, error) {
	var found []map[string]string
	if err := s.manage(ctx, http.MethodGet, "/api/"+all+"/"+vhost+"?columns="+field, "", &found); err != nil {
		return nil, err
	}
	names := make([]string, len(found))
	for i, each := range found {
		names[i] = each[field]
	}
	return names, nil
}

var errManagement = errors.New("the broker's HTTP API refuses")

func (s *Servers) manage(ctx context.Context, method, path, body string, answer any) error {
	return manage(ctx, s.ManagementURL(), method, path, body, answer)
}

// manage asks the HTTP API of a broker for something, and reads the answer into
// that if it is not nil.
func manage(ctx context.Context, base, method, path, body string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask the broker: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("read the broker's answer: %w", err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%w: %s %s: %s: %s", errManagement, method, path, response.Status, text)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("read the broker's answer: %w", err)
	}
	return nil
}

// withDatabase runs work on a connection of its own.
func withDatabase(ctx context.Context, address string, work func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	err = work(conn)
	return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
}

// withPath returns the URL with another database or virtual host.
func withPath(address, path string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("read an address: %w", err)
	}
	u.Path = "/" + path
	return u.String(), nil
}
