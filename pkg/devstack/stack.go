package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Options say what is started and where its data are.
type Options struct {
	// Dir keeps the data, logs and helper commands. It is made when missing.
	Dir string
	// Progress gets lines on what is going on; nil is allowed.
	Progress io.Writer
	// Durable makes data survive a crash of the machine (fsync). Without it
	// everything is faster, and killed servers still lose nothing.
	Durable bool
	// Passwords makes PostgreSQL and RabbitMQ ask for passwords, which are kept in
	// Dir, for this user alone. Data that were made without are changed. Without it
	// every user of the machine can reach them.
	Passwords bool
	// Management enables RabbitMQ's HTTP API.
	Management bool
	// Redis adds a Redis server to the Stack.
	Redis bool
}

// logFile returns where the named server writes its log, and makes the
// directory.
func (o Options) logFile(name string) (string, error) {
	dir := filepath.Join(o.Dir, "log")
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the servers' accounts read it
		return "", fmt.Errorf("make log directory: %w", err)
	}
	return filepath.Join(dir, name+".log"), nil
}

// Stack is a set of private servers in one directory. Safe for concurrent use.
type Stack struct {
	options  Options
	dir      *Dir
	postgres *Postgres
	rabbitmq *RabbitMQ
	redis    *Redis // nil unless asked for

	exited  chan error
	quit    chan struct{} // closed when stopping begins
	watched sync.WaitGroup
	once    sync.Once // guards the end
	stopErr error     // written once, before once is done
}

// Start starts PostgreSQL and RabbitMQ, and Redis if asked for, at the same
// time, and returns when all answer. When ctx ends before that, or one of them
// fails, everything is ended again. Programs that are missing are named all at
// once in a *NotInstalledError; a directory that is in use in an ErrBusy.
func Start(ctx context.Context, options Options) (*Stack, error) {
	if missing := Missing(options.Redis); len(missing) > 0 {
		return nil, &NotInstalledError{Packages: missing}
	}
	options.Progress = newLineWriter(options.Progress)
	dir, err := OpenDir(options.Dir, options.Progress)
	if err != nil {
		return nil, err
	}
	options.Dir = dir.Path()
	s := &Stack{
		options: options, dir: dir,
		postgres: NewPostgres(options), rabbitmq: NewRabbitMQ(options),
		exited: make(chan error, 1), quit: make(chan struct{}),
	}
	if options.Redis {
		s.redis = NewRedis(options)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, server := range s.servers() {
		group.Go(func() error { return server.Start(groupCtx) })
	}
	err = group.Wait()
	if err == nil {
		err = s.writeCommands()
	}
	if err != nil {
		return nil, errors.Join(err, s.end(context.WithoutCancel(ctx)))
	}
	for _, server := range s.servers() {
		s.watched.Add(1)
		go s.watch(server)
	}
	return s, nil
}

// member is what the servers of a Stack have in common.
type member interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	Exited() <-chan error
}

// DatabaseURL is the database of the service.
func (s *Stack) DatabaseURL() string { return s.postgres.URL() }

// RabbitMQURL is the broker.
func (s *Stack) RabbitMQURL() string { return s.rabbitmq.URL() }

// RabbitMQFileLimit is how many open files the broker may have.
func (s *Stack) RabbitMQFileLimit() int { return s.rabbitmq.FileLimit() }

// ManagementURL is the broker's HTTP API; empty unless Options.Management.
func (s *Stack) ManagementURL() string { return s.rabbitmq.ManagementURL() }

// RedisURL is the Redis server; empty unless Options.Redis.
func (s *Stack) RedisURL() string {
	if s.redis == nil {
		return ""
	}
	return s.redis.URL()
}

// Dir is where the data really are: Options.Dir, or its stand-in when the
// servers' accounts cannot get there.
func (s *Stack) Dir() string { return s.dir.Path() }

// Exited gets the reason when a server ends without having been asked to, the
// first time only.
func (s *Stack) Exited() <-chan error { return s.exited }

// Stop ends all servers and gives the directory free. Servers that do not stop
// within 20 s, or until ctx ends, are killed, which is an error. Only the first
// call does something; others wait for it and return the same.
func (s *Stack) Stop(ctx context.Context) error {
	s.once.Do(func() {
		close(s.quit)
		s.watched.Wait()
		s.stopErr = s.end(ctx)
	})
	return s.stopErr
}

func (s *Stack) servers() []member {
	servers := []member{s.postgres, s.rabbitmq}
	if s.redis != nil {
		servers = append(servers, s.redis)
	}
	return servers
}

// watch passes the first unexpected end on to Exited.
func (s *Stack) watch(server member) {
	defer s.watched.Done()
	select {
	case err := <-server.Exited():
		select {
		case s.exited <- err:
		default:
		}
	case <-s.quit:
	}
}

// end stops the servers that run and gives the directory free.
func (s *Stack) end(ctx context.Context) error {
	var group errgroup.Group
	servers := s.servers()
	errs := make([]error, len(servers)+2)
	for i, server := range servers {
		group.Go(func() error {
			errs[i] = server.Stop(ctx)
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs, all of them
	errs[len(servers)] = s.removeCommands()
	errs[len(servers)+1] = s.dir.Close()
	return errors.Join(errs...)
}

// lineWriter lets several servers report at once.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func newLineWriter(w io.Writer) *lineWriter {
	if w == nil {
		w = io.Discard
	}
	return &lineWriter{w: w}
}

// Write implements io.Writer.
func (l *lineWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
