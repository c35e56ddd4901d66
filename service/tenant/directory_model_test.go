package tenant_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"lanekeeper/domain"
	"lanekeeper/service/tenant"
)

// TestDirectoryModel does random things and compares each answer with what it
// may be: a version that the database had at some time in the last five
// seconds, but none older than the last change made here or announced; or,
// while the database is away, the last version seen.
func TestDirectoryModel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, directoryModel) // without the deadline, which is not of the bubble's time
	})
}

type version struct {
	name  int
	since time.Time
}

func directoryModel(t *rapid.T) {
	ids := []uuid.UUID{uuid.New(), uuid.New()}
	b := newTable()
	d := tenant.NewDirectory(b)
	history := map[uuid.UUID][]version{}
	floor := map[uuid.UUID]int{}  // the least version an answer may have
	heard := map[uuid.UUID]int{}  // the same, until the database goes away
	known := map[uuid.UUID]bool{} // whether there must be an answer, also in an outage
	var recovered time.Time
	clock := 0
	change := func(id uuid.UUID) domain.Tenant {
		clock++
		changed := domain.Tenant{ID: id, Name: fmt.Sprint(clock), Status: domain.TenantActive, UpdatedAt: time.Now()}
		b.rows[id] = changed
		history[id] = append(history[id], version{clock, time.Now()})
		return changed
	}
	pick := rapid.SampledFrom(ids)
	t.Repeat(map[string]func(*rapid.T){
		"change here": func(t *rapid.T) {
			if b.err != nil {
				t.Skip("the database is away")
			}
			id := pick.Draw(t, "id")
			d.Put(change(id))
			floor[id], known[id] = clock, true
		},
		"change elsewhere": func(t *rapid.T) { change(pick.Draw(t, "id")) },
		"notified": func(t *rapid.T) {
			id := pick.Draw(t, "id")
			d.Forget(id)
			if versions := history[id]; b.err == nil && len(versions) > 0 {
				heard[id] = versions[len(versions)-1].name
			}
		},
		"notified of anything": func(*rapid.T) {
			d.ForgetAll()
			for id, versions := range history {
				if b.err == nil {
					heard[id] = versions[len(versions)-1].name
				}
			}
		},
		"outage": func(*rapid.T) {
			b.err = away()
			clear(heard)
		},
		"recovery": func(t *rapid.T) {
			if b.err == nil {
				t.Skip("there is no outage")
			}
			b.err, recovered = nil, time.Now()
		},
		"time goes": func(t *rapid.T) { pass(time.Duration(rapid.IntRange(1, 7000).Draw(t, "ms")) * time.Millisecond) },
		"lookup": func(t *rapid.T) {
			id := pick.Draw(t, "id")
			got, err := d.Lookup(context.Background(), id)
			versions := history[id]
			if err != nil {
				if known[id] || b.err == nil && len(versions) > 0 && time.Since(versions[0].since) >= time.Second {
					t.Fatalf("known, but: %v", err)
				}
				return
			}
			var name int
			_, _ = fmt.Sscan(got.Name, &name)
			if least := max(floor[id], heard[id]); name < least {
				t.Fatalf("version %d is older than %d, which was seen or announced", name, least)
			}
			floor[id], known[id] = name, true
			for i, v := range versions {
				if v.name != name || b.err != nil || i+1 == len(versions) {
					continue
				}
				if old := time.Since(versions[i+1].since); old >= 5*time.Second && time.Since(recovered) >= 5*time.Second {
					t.Fatalf("version %d was replaced %v ago", name, old)
				}
			}
		},
	})
}
