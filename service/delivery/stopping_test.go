package delivery_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/service/delivery"
)

// A dispatcher that stops settles what was answered by the types of that moment: what
// they did not match before arrives, and nothing is delivered twice for it.
func TestChangeOfTypesWhileStopping(t *testing.T) {
	t.Parallel()
	for name, held := range map[string]bool{"held": true, "moved": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := newWorld(t), newReceiver(t)
			tenant := w.newTenant(1)
			e := w.endpoint(tenant, r.URL, func(e *domain.Endpoint) { e.Types = []domain.TypePattern{"order.*"} })
			w.publish(tenant, 1, 2, func(i int, m *domain.Message) {
				m.Type = []string{1: "invoice.paid", 2: "order.created"}[i]
			})
			begun, changed := make(chan struct{}), make(chan struct{})
			begin, settle := sync.OnceFunc(func() { close(begun) }), sync.OnceFunc(func() { close(changed) })
			repository := &meddling{DeliveryRepository: w.store, before: func([]domain.Settlement) { begin(); <-changed }}
			a := w.start("a", func(o *delivery.Options) { o.Deliveries = repository })
			t.Cleanup(settle)
			<-begun
			await(t, func() error {
				if len(r.taken()) == 0 {
					return errNotYet
				}
				return nil
			})
			w.change(e, func(e *domain.Endpoint) {
				e.Types = append(e.Types, "invoice.*")
				if held {
					e.Status = domain.EndpointHeld
				}
			})
			stopped := make(chan struct{})
			if held {
				repository.follow(a, tenant)
			} else {
				go func() { defer close(stopped); a.stop() }()
				await(t, func() error {
					if w.count(`SELECT count(*) FROM deliverers WHERE leaving`) == 0 {
						return errNotYet
					}
					return nil
				})
			}
			settle()
			if held {
				await(t, func() error {
					if w.progress(e).Settled != 2 {
						return errNotYet
					}
					return nil
				})
				w.change(e, func(e *domain.Endpoint) { e.Status = domain.EndpointActive }, a)
			} else {
				<-stopped
				w.start("b", nil)
			}
			w.awaitCaughtUp(e)
			require.Equal(t, []int{2, 1}, r.taken())
			require.Equal(t, map[int]int{1: 1, 2: 1}, r.times())
		})
	}
}
