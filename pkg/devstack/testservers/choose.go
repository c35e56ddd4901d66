package testservers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"lanekeeper/pkg/devstack"
)

// Kind is one kind of server.
type Kind string

// The servers there are.
const (
	Postgres Kind = "postgres"
	RabbitMQ Kind = "rabbitmq"
	Redis    Kind = "redis"
)

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{Postgres, RabbitMQ, Redis} }

// ParseKind reads the name of a kind.
func ParseKind(name string) (Kind, error) {
	if k := Kind(name); slices.Contains(Kinds(), k) {
		return k, nil
	}
	return "", fmt.Errorf("%w: server %q, want one of %v", errUnknown, name, Kinds())
}

// Variable is the environment variable that names such a server.
func (k Kind) Variable() string {
	switch k {
	case Postgres:
		return "TEST_DATABASE_URL"
	case RabbitMQ:
		return "TEST_RABBITMQ_URL"
	case Redis:
		return "TEST_REDIS_URL"
	}
	return ""
}

// debianPackage is what has to be installed for such a server.
func (k Kind) debianPackage() string {
	switch k {
	case Postgres:
		return "postgresql"
	case RabbitMQ:
		return "rabbitmq-server"
	case Redis:
		return "redis-server"
	}
	return ""
}

// ManagementVariable is the environment variable that names the broker's HTTP
// API, with user and password.
const ManagementVariable = "TEST_RABBITMQ_MANAGEMENT_URL"

// ModeVariable is the environment variable that allows one way only.
const ModeVariable = "TESTSTACK"

// Mode says which ways to a server are allowed.
type Mode string

// The modes there are.
const (
	ModeAuto   Mode = ""
	ModeEnv    Mode = "env"
	ModeDocker Mode = "docker"
	ModeLocal  Mode = "local"
)

var (
	// errUnknown: a name that does not exist.
	errUnknown = errors.New("unknown")
	// errUnset: a URL was demanded and there is none.
	errUnset = errors.New("not set")
)

// ModeFromEnv reads TESTSTACK.
func ModeFromEnv() (Mode, error) {
	switch m := Mode(os.Getenv(ModeVariable)); m {
	case ModeAuto, ModeEnv, ModeDocker, ModeLocal:
		return m, nil
	default:
		return "", fmt.Errorf("%w: %s=%q, want env, docker or local", errUnknown, ModeVariable, m)
	}
}

// Options say how servers are found.
type Options struct {
	Mode Mode
	// Dir is where private servers keep their data.
	Dir string
	// Durable is for measurements: what is committed survives a crash of the
	// machine.
	Durable bool
	// Progress gets lines on what is taken and why.
	Progress io.Writer
}

// Server is one that was found or started.
type Server struct {
	// URL is where it is. For PostgreSQL the user may create databases.
	URL string `json:"url"`
	// ManagementURL is the broker's HTTP API, if it has one.
	ManagementURL string `json:"management_url,omitempty"`
	// From says in words where it comes from.
	From string `json:"from"`
	// Exited gets the reason when it ends by itself. It is nil where that cannot be
	// known.
	Exited <-chan error `json:"-"`

	stop func(context.Context) error
}

// Start finds or starts a server. Close it afterwards.
func Start(ctx context.Context, kind Kind, o Options) (*Server, error) {
	c, err := choose(ctx, kind, o)
	if err != nil {
		return nil, fmt.Errorf("%s for tests: %w", kind, err)
	}
	if c.notDocker != nil {
		say(o.Progress, "%s: not in Docker: %v", kind, c.notDocker)
	}
	var s *Server
	switch c.way {
	case ModeEnv:
		found := FromEnv(kind)
		s = &found
	case ModeDocker:
		s, err = fromDocker(ctx, c.engine, kind, o)
	default:
		s, err = fromPrograms(ctx, kind, o)
	}
	if err != nil {
		return nil, fmt.Errorf("%s for tests: %w", kind, err)
	}
	say(o.Progress, "%s: %s", kind, s.From)
	return s, nil
}

// Close ends the server if Start started it.
func (s *Server) Close(ctx context.Context) error {
	if s.stop == nil {
		return nil
	}
	return s.stop(ctx)
}

// MissingPackages returns the Debian packages without which Start fails.
func MissingPackages(ctx context.Context, o Options) ([]string, error) {
	var packages []string
	for _, kind := range Kinds() {
		c, err := choose(ctx, kind, o)
		if err != nil {
			return nil, fmt.Errorf("%s for tests: %w", kind, err)
		}
		c.engine.close()
		if c.way != ModeLocal {
			continue
		}
		if name := kind.debianPackage(); slices.Contains(devstack.Missing(true), name) {
			packages = append(packages, name)
		}
	}
	return packages, nil
}

// choice is a way to a server.
type choice struct {
	way Mode
	// engine is nil unless way is ModeDocker.
	engine *engine
	// notDocker is why a container was not it, where that was tried.
	notDocker error
}

// choose picks the way to a server.
func choose(ctx context.Context, kind Kind, o Options) (choice, error) {
	switch {
	case os.Getenv(kind.Variable()) != "" && (o.Mode == ModeAuto || o.Mode == ModeEnv):
		return choice{way: ModeEnv}, nil
	case o.Mode == ModeEnv:
		return choice{}, fmt.Errorf("%w: %s, and %s=env allows nothing else", errUnset, kind.Variable(), ModeVariable)
	case o.Mode == ModeLocal:
		return choice{way: ModeLocal}, nil
	}
	engine, err := openEngine(ctx)
	if err == nil {
		if err = engine.ensureImage(ctx, imageOf(kind), o.Progress); err == nil {
			return choice{way: ModeDocker, engine: engine}, nil
		}
		engine.close()
	}
	if o.Mode == ModeDocker {
		return choice{}, fmt.Errorf("%s=docker: %w", ModeVariable, err)
	}
	return choice{way: ModeLocal, notDocker: err}, nil
}

// FromEnv returns the server that the environment names.
func FromEnv(kind Kind) Server {
	s := Server{URL: os.Getenv(kind.Variable()), From: kind.Variable()}
	if kind == RabbitMQ {
		s.ManagementURL = os.Getenv(ManagementVariable)
	}
	return s
}

func fromDocker(ctx context.Context, e *engine, kind Kind, o Options) (*Server, error) {
	c := newContainer(e, kind, o)
	if err := c.Start(ctx); err != nil {
		return nil, errors.Join(err, c.Remove())
	}
	return &Server{
		URL: c.URL(), ManagementURL: c.managementURL(), From: "container of " + imageOf(kind),
		stop: func(context.Context) error { return c.Remove() },
	}, nil
}

func fromPrograms(ctx context.Context, kind Kind, o Options) (*Server, error) {
	private := newPrograms(kind, o)
	if err := private.Start(ctx); err != nil {
		return nil, err
	}
	return &Server{
		URL: private.URL(), ManagementURL: private.managementURL(), From: "private server, data in " + o.Dir,
		Exited: private.Exited(), stop: private.Stop,
	}, nil
}

// say writes one line of progress. That it cannot be written stops nothing.
func say(w io.Writer, format string, args ...any) {
	if w != nil {
		_, _ = fmt.Fprintf(w, format+"\n", args...)
	}
}
