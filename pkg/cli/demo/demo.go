package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"lanekeeper/pkg/client"
)

const (
	// readyLimit is how long a tenant may take until it can be published to.
	readyLimit = 30 * time.Second
	// cleanupLimit is how long taking everything away may take, and pauseBetween how long
	// it is until one looks again.
	cleanupLimit = 30 * time.Second
	pauseBetween = 100 * time.Millisecond
)

// Errors of Run that say what to do.
var (
	ErrNotDelivering = errors.New("the service does not deliver to 127.0.0.1, where the demo receives: run it with private servers in open mode, as make run does, or with delivery.allow_private (DELIVERY_ALLOW_PRIVATE=true), which is for development only")
	ErrElsewhere     = errors.New("the service cannot reach the demo: run the demo on the machine that the service runs on, outside of containers")
	ErrTakenAway     = errors.New("the demo's tenants are gone: somebody deleted them, or another demo of the same user has begun")
)

var errOver = errors.New("the demo has run for as long as it should")

// Options say how a demo is run.
type Options struct {
	Client *client.Client
	// Rate is how many messages are published in a second, to all tenants together.
	Rate float64
	// Duration is how long it is published for, from when everything is there; 0 for until
	// ctx ends.
	Duration time.Duration
	// Begun is called once when everything is there; nil for not.
	Begun func(tenants []Tenant)
	// Show is called about every second with how far everything is, from one goroutine;
	// nil for not.
	Show func(Status)
	// Note is called with what goes wrong and passes, at most every few seconds, from
	// several goroutines; nil for not.
	Note func(err error)
}

// Tenant is a tenant of the demo, for those who want to look at it.
type Tenant struct {
	ID, Name, About string
	// Rate is how many messages a second it gets.
	Rate float64
}

// tenant is a shop that exists.
type tenant struct {
	shop

	id     string
	client *client.Client
}

// Run makes tenants and endpoints, and publishes, for a time or until ctx ends; then it takes
// everything away and returns the last that there was to see. That ctx ends is no error.
// What an earlier demo of the same user left is taken away first. Errors are the three of
// this package, and those of the client.
func Run(ctx context.Context, o Options) (Status, error) {
	d := &demo{o: o, notes: notes{say: o.Note}}
	err := d.run(ctx)
	if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))) {
		err = nil // it was asked for
	}
	left, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupLimit)
	defer cancel()
	return d.last, errors.Join(err, d.takeAway(left))
}

// demo is a run. It belongs to the goroutine of Run, and last to that which watches
// until it has ended.
type demo struct {
	o       Options
	notes   notes
	tenants []*tenant
	last    Status
}

func (d *demo) run(ctx context.Context) error {
	all := shops()
	there, err := openReceivers(ctx, all)
	if err != nil {
		return err
	}
	defer there.close()
	for i := range all {
		if err := d.open(ctx, all[i]); err != nil {
			return err
		}
	}
	if err := d.connect(ctx, there); err != nil {
		return err
	}
	if d.o.Begun != nil {
		d.o.Begun(d.described())
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if d.o.Duration > 0 {
		defer time.AfterFunc(d.o.Duration, func() { stop(errOver) }).Stop()
	}
	var running sync.WaitGroup
	counts := new(traffic)
	for _, t := range d.tenants {
		running.Go(func() {
			if err := counts.publish(ctx, t, t.rate(d.o.Rate), d.notes.note); err != nil {
				stop(err)
			}
		})
	}
	running.Go(func() { d.watch(ctx, counts, there) })
	running.Wait()
	if err := context.Cause(ctx); !errors.Is(err, errOver) {
		return err
	}
	return nil
}

// rate returns how many of so many messages a second are the tenant's.
func (t *tenant) rate(all float64) float64 {
	const shares = 10
	return all * float64(t.share) / shares
}

func (d *demo) described() []Tenant {
	list := make([]Tenant, len(d.tenants))
	for i, t := range d.tenants {
		list[i] = Tenant{ID: t.id, Name: t.name, About: t.about, Rate: t.rate(d.o.Rate)}
	}
	return list
}

// open makes a tenant, and waits until it can be published to. One that is there already
// is of an earlier demo, and has messages that this one did not publish.
func (d *demo) open(ctx context.Context, s shop) error {
	api := d.o.Client
	wanted := client.PutTenant{Name: s.name, Description: &s.about, Workers: &s.workers, Metadata: map[string]string{"made-by": "lanekeeper demo"}}
	made, created, err := api.Tenants.PutByExternalID(ctx, idPrefix+s.id, wanted)
	if err == nil && !created && made.Status != client.TenantProvisioning {
		if _, err = api.Tenants.Delete(ctx, made.ID); err == nil || errors.Is(err, client.CodeTenantNotFound) {
			made, _, err = api.Tenants.PutByExternalID(ctx, idPrefix+s.id, wanted)
		}
	}
	if err != nil {
		return fmt.Errorf("make the tenant %s: %w", s.name, err)
	}
	t := &tenant{shop: s, id: made.ID, client: api.ForTenant(made.ID)}
	d.tenants = append(d.tenants, t)
	limited, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	for made.Status != client.TenantActive {
		if err := pause(limited); err != nil {
			return fmt.Errorf("wait for the tenant %s, which is %s: %w", s.name, made.Status, err)
		}
		if made, err = api.Tenants.Get(limited, t.id); err != nil {
			return fmt.Errorf("wait for the tenant %s: %w", s.name, err)
		}
	}
	return nil
}

// connect makes the endpoints, and tries the first one out.
func (d *demo) connect(ctx context.Context, there *receivers) error {
	for i, t := range d.tenants {
		for j, b := range t.endpoints {
			wanted := b.settings
			wanted.URL, wanted.ExternalID, wanted.Description = there.url+b.path(&t.shop), b.id, b.about
			made, err := t.client.Endpoints.Create(ctx, wanted)
			if refused, ok := errors.AsType[*client.Error](err); ok && aboutURL(refused) {
				return ErrNotDelivering
			}
			if err != nil {
				return fmt.Errorf("make the endpoint %s: %w", b.id, err)
			}
			if i > 0 || j > 0 {
				continue
			}
			tried, err := t.client.Endpoints.Test(ctx, made.ID)
			if err != nil {
				return fmt.Errorf("try the endpoint %s: %w", b.id, err)
			}
			if tried.Status == nil || *tried.Status != statusTaken {
				return ErrElsewhere
			}
		}
	}
	return nil
}

// aboutURL reports whether an endpoint was refused for where it is.
func aboutURL(refused *client.Error) bool {
	for _, f := range refused.Fields {
		if f.Pointer == "/url" {
			return true
		}
	}
	return false
}

// takeAway deletes the demo's own tenants, with all that they have, and waits until
// they are gone.
func (d *demo) takeAway(ctx context.Context) error {
	var problems []error
	for _, t := range d.tenants {
		if err := d.takeAwayOne(ctx, t); err != nil {
			problems = append(problems, fmt.Errorf("delete the tenant %s (%s); the next demo will: %w", t.name, t.id, err))
		}
	}
	return errors.Join(problems...)
}

func (d *demo) takeAwayOne(ctx context.Context, t *tenant) error {
	deletion, err := d.o.Client.Tenants.Delete(ctx, t.id)
	for err == nil && !deletion.Done {
		if err = pause(ctx); err == nil {
			_, err = d.o.Client.Tenants.Get(ctx, t.id)
		}
	}
	if errors.Is(err, client.CodeTenantNotFound) {
		return nil
	}
	return err //nolint:wrapcheck // takeAway does
}

// pause waits a moment.
func pause(ctx context.Context) error {
	timer := time.NewTimer(pauseBetween)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // nothing to add
	}
}
