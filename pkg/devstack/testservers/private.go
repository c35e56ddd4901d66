package testservers

import (
	"context"
	"fmt"
	"slices"

	"lanekeeper/pkg/devstack"
)

// Private is a server of one test's own, which the test may break. It keeps
// its address and its data (Redis: its address) over all of that.
type Private interface {
	// URL is where it is, from the first Start on.
	URL() string
	// Start starts it and returns when it answers.
	Start(ctx context.Context) error
	// Stop ends it in good order.
	Stop(ctx context.Context) error
	// Kill ends it with SIGKILL.
	Kill() error
	// Pause freezes it: connections stay open, nothing answers.
	Pause() error
	// Resume ends a pause.
	Resume() error
	// Remove kills it and removes what it leaves behind.
	Remove() error
}

// NewPrivate returns a server that runs from the programs on this machine or,
// where those are missing, in a container. Nothing happens before Start.
func NewPrivate(ctx context.Context, kind Kind, o Options) (Private, error) {
	p := newPrograms(kind, o)
	if p.installed() {
		return p, nil
	}
	e, err := openEngine(ctx)
	if err == nil {
		err = e.ensureImage(ctx, imageOf(kind), o.Progress)
	}
	if err != nil {
		missing := &devstack.NotInstalledError{Packages: []string{kind.debianPackage()}}
		return nil, fmt.Errorf("%s of a test's own: %w; and no container: %w", kind, missing, err)
	}
	return newContainer(e, kind, o), nil
}

// local is what the servers of package devstack have in common.
type local interface {
	URL() string
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	Kill()
	Pause() error
	Resume() error
	Exited() <-chan error
}

// programs is a private server of package devstack.
type programs struct {
	local

	kind Kind
}

func newPrograms(kind Kind, o Options) *programs {
	options := devstack.Options{Dir: o.Dir, Durable: o.Durable, Progress: o.Progress, Management: true}
	p := &programs{kind: kind}
	switch kind {
	case Postgres:
		p.local = devstack.NewPostgres(options)
	case RabbitMQ:
		p.local = devstack.NewRabbitMQ(options)
	case Redis:
		p.local = devstack.NewRedis(options)
	}
	return p
}

// Kill implements Private.
func (p *programs) Kill() error {
	p.local.Kill()
	return nil
}

// Remove implements Private. The directory stays: its maker removes it.
func (p *programs) Remove() error { return p.Kill() }

func (p *programs) installed() bool {
	return !slices.Contains(devstack.Missing(true), p.kind.debianPackage())
}

func (p *programs) managementURL() string {
	if mq, ok := p.local.(*devstack.RabbitMQ); ok {
		return mq.ManagementURL()
	}
	return ""
}
