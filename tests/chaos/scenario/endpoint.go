package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"lanekeeper/tests/chaos/fault"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/wait"
)

const (
	hangingWorkers = 100
	// hangingPause is how long each of the noisy tenant's clients waits
	// between batches: this is about an endpoint that hangs, not about a flood.
	hangingPause = 100 * time.Millisecond
)

// noisyEndpoint has one tenant publish whose endpoint hangs. Between the
// measurements and at the end it has no endpoint, so that what was published is
// stored.
func noisyEndpoint(ctx context.Context, t *trial) (err error) {
	noisy, p, err := t.quietAndOther(ctx)
	if err != nil {
		return err
	}
	if r := t.client.Resize(ctx, noisy, hangingWorkers); r.Status != http.StatusOK {
		return errors.Join(fmt.Errorf("%w: resize: %s", load.ErrUnexpected, r.Text()), r.Err)
	}
	endpoint, err := fault.StartHangingEndpoint(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, endpoint.Close()) }()
	l := t.newLoad()
	err = t.undisturbed(ctx, p, t.measure, func(ctx context.Context, meanwhile func() error) error {
		path := "/api/tenants/" + noisy + "/endpoint"
		if r := t.client.Call(ctx, http.MethodPut, path, "", "", fmt.Appendf(nil, `{"url":%q}`, endpoint.URL)); r.Status != http.StatusOK {
			return errors.Join(fmt.Errorf("%w: set an endpoint: %s", load.ErrUnexpected, r.Text()), r.Err)
		}
		err := fault.While(ctx, 2, meanwhile, func(ctx context.Context) {
			l.Send(ctx, noisy, load.BatchSize, false)
			wait.For(ctx, hangingPause)
		})
		if r := t.client.Call(ctx, http.MethodDelete, path, "", "", nil); r.Status != http.StatusNoContent {
			err = errors.Join(err, fmt.Errorf("%w: delete an endpoint: %s", load.ErrUnexpected, r.Text()), r.Err)
		}
		return err
	})
	t.Show("published to the hanging one", "%d messages, %d attempts to transmit, %d at a time at most", l.Accepted.Load(), endpoint.Taken.Load(), endpoint.Most.Load())
	if most := endpoint.Most.Load(); most != hangingWorkers {
		t.Fail("%d transmissions at a time hung, not %d", most, hangingWorkers)
	}
	return errors.Join(err, t.check(ctx))
}
