package domain_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"lanekeeper/domain"
)

func statuses() []domain.TenantStatus {
	return []domain.TenantStatus{
		domain.TenantProvisioning, domain.TenantActive, domain.TenantInactive, domain.TenantDeleting, domain.TenantDeleted,
	}
}

// pointers returns the fields an error complains about.
func pointers(t *testing.T, err error) []string {
	t.Helper()
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, domain.ErrInvalid, e.Kind)
	var names []string
	for _, f := range e.Fields {
		names = append(names, f.Pointer)
	}
	return names
}

func TestTransitions(t *testing.T) {
	t.Parallel()
	allowed := map[domain.TenantStatus][]domain.TenantStatus{
		domain.TenantProvisioning: {domain.TenantActive, domain.TenantInactive, domain.TenantDeleting},
		domain.TenantActive:       {domain.TenantInactive, domain.TenantDeleting},
		domain.TenantInactive:     {domain.TenantActive, domain.TenantDeleting},
		domain.TenantDeleting:     {domain.TenantDeleted},
	}
	for _, from := range statuses() {
		for _, to := range append(statuses(), "nonsense") {
			one := domain.Tenant{Status: from, Name: "n", Description: "d"}
			err := one.Transition(to)
			ok := from == to
			for _, next := range allowed[from] {
				ok = ok || next == to
			}
			if !ok {
				require.ErrorIs(t, err, domain.ErrConflict, "%s to %s", from, to)
				require.Equal(t, "tenant_"+string(from), domain.CodeOf(err))
				require.Equal(t, from, one.Status)
				continue
			}
			require.NoError(t, err, "%s to %s", from, to)
			require.Equal(t, to, one.Status)
			require.Equal(t, to == domain.TenantDeleted && from != to, one.Name == "", "only a tombstone loses its name")
		}
	}
}

func TestWhatEachStatusMeans(t *testing.T) {
	t.Parallel()
	for status, c := range map[domain.TenantStatus]struct {
		gone, consuming bool
		publish         error
	}{
		domain.TenantProvisioning: {false, false, domain.ErrUnavailable},
		domain.TenantActive:       {false, true, nil},
		domain.TenantInactive:     {false, false, domain.ErrConflict},
		domain.TenantDeleting:     {true, false, domain.ErrNotFound},
		domain.TenantDeleted:      {true, false, domain.ErrNotFound},
	} {
		one := domain.Tenant{Status: status}
		require.Equal(t, c.gone, one.Gone(), status)
		require.Equal(t, c.consuming, one.Consuming(), status)
		require.ErrorIs(t, one.AcceptsMessages(), c.publish, status)
		one.Stopped = true
		require.False(t, one.Consuming())
		require.ErrorIs(t, one.AcceptsMessages(), c.publish, "stopping the consumer stops no publisher")
	}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	now, owner := time.Now(), uuid.New()
	one, err := domain.NewTenant{Name: "Acme", Description: "two\nlines"}.Build(owner, 3, now)
	require.NoError(t, err)
	require.EqualValues(t, 7, one.ID.Version())
	require.Equal(t, domain.Tenant{
		ID: one.ID, Name: "Acme", Description: "two\nlines", Status: domain.TenantProvisioning, Target: domain.TenantActive,
		Workers: 3, OwnerID: owner, CreatedAt: now, UpdatedAt: now,
	}, one)

	one, err = domain.NewTenant{Name: strings.Repeat("é", domain.MaxTenantNameLength), Status: "inactive", Workers: new(100)}.Build(owner, 3, now)
	require.NoError(t, err)
	require.Equal(t, domain.TenantInactive, one.Target)
	require.Equal(t, 100, one.Workers)

	for name, c := range map[string]struct {
		n     domain.NewTenant
		wrong []string
	}{
		"nothing":          {domain.NewTenant{}, []string{"/name"}},
		"blank":            {domain.NewTenant{Name: " \t"}, []string{"/name"}},
		"overlong":         {domain.NewTenant{Name: strings.Repeat("é", 201)}, []string{"/name"}},
		"NUL":              {domain.NewTenant{Name: "a\x00"}, []string{"/name"}},
		"line break":       {domain.NewTenant{Name: "a\nb"}, []string{"/name"}},
		"invalid UTF-8":    {domain.NewTenant{Name: "\xff"}, []string{"/name"}},
		"status":           {domain.NewTenant{Name: "a", Status: "deleting"}, []string{"/status"}},
		"no workers":       {domain.NewTenant{Name: "a", Workers: new(0)}, []string{"/workers"}},
		"too many workers": {domain.NewTenant{Name: "a", Workers: new(101)}, []string{"/workers"}},
		"everything": {
			domain.NewTenant{Description: strings.Repeat("x", 2001), Status: "x", Workers: new(-1)},
			[]string{"/name", "/description", "/status", "/workers"},
		},
	} {
		_, err := c.n.Build(owner, 3, now)
		require.ElementsMatch(t, c.wrong, pointers(t, err), name)
	}
}

func TestTenantChange(t *testing.T) {
	t.Parallel()
	one := domain.Tenant{Name: "a", Description: "b", Status: domain.TenantActive}
	require.NoError(t, domain.TenantChange{}.Apply(&one))
	require.NoError(t, domain.TenantChange{Name: new("c"), Description: new(""), Status: new("inactive")}.Apply(&one))
	require.Equal(t, domain.Tenant{Name: "c", Status: domain.TenantInactive}, one)

	err := domain.TenantChange{Name: new(""), Description: new("\x00"), Status: new("gone")}.Apply(&one)
	require.ElementsMatch(t, []string{"/name", "/description", "/status"}, pointers(t, err))
	require.Equal(t, "c", one.Name)

	provisioning := domain.Tenant{Name: "a", Status: domain.TenantProvisioning, Target: domain.TenantActive}
	require.NoError(t, domain.TenantChange{Status: new("inactive")}.Apply(&provisioning))
	require.Equal(t, domain.TenantProvisioning, provisioning.Status)
	require.Equal(t, domain.TenantInactive, provisioning.Target)

	deleting := domain.Tenant{Name: "a", Status: domain.TenantDeleting}
	require.ErrorIs(t, domain.TenantChange{Name: new("b"), Status: new("active")}.Apply(&deleting), domain.ErrConflict)
	require.Equal(t, "a", deleting.Name, "an error changes nothing")
}

func TestSetWorkers(t *testing.T) {
	t.Parallel()
	one := domain.Tenant{Workers: 3}
	for _, n := range []int{1, 100} {
		require.NoError(t, one.SetWorkers(n))
		require.Equal(t, n, one.Workers)
	}
	for _, n := range []int{-1, 0, 101} {
		require.Equal(t, []string{"/workers"}, pointers(t, one.SetWorkers(n)))
		require.Equal(t, 100, one.Workers)
	}
}

// Whatever is asked of a tenant, in any order: an error changes nothing, its
// fields stay valid, and nothing brings back one that is on its way out.
func TestTenantStaysValid(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		one, err := domain.NewTenant{Name: "a"}.Build(uuid.New(), 3, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if one.Workers < domain.MinWorkers || one.Workers > domain.MaxWorkers {
					t.Fatalf("%d workers", one.Workers)
				}
				if one.Name == "" && one.Status != domain.TenantDeleted {
					t.Fatal("no name")
				}
				if one.Consuming() && one.AcceptsMessages() != nil {
					t.Fatal("consumes what cannot be published")
				}
			},
			"transition": func(t *rapid.T) {
				before := one
				to := rapid.SampledFrom(statuses()).Draw(t, "to")
				if err := one.Transition(to); err != nil && !reflect.DeepEqual(one, before) {
					t.Fatal("an error changed something")
				}
				if before.Gone() && !one.Gone() {
					t.Fatalf("%s became %s", before.Status, one.Status)
				}
			},
			"change": func(t *rapid.T) {
				before := one
				change := domain.TenantChange{}
				if rapid.Bool().Draw(t, "rename") {
					change.Name = new(rapid.String().Draw(t, "name"))
				}
				if rapid.Bool().Draw(t, "restate") {
					change.Status = new(rapid.SampledFrom([]string{"active", "inactive", "deleted", ""}).Draw(t, "status"))
				}
				if before.Gone() {
					t.Skip("callers do not see it")
				}
				if err := change.Apply(&one); err != nil && !reflect.DeepEqual(one, before) {
					t.Fatal("an error changed something")
				}
			},
			"resize": func(t *rapid.T) {
				n := rapid.Int().Draw(t, "n")
				if err := one.SetWorkers(n); err == nil && one.Workers != n || err != nil && !errors.Is(err, domain.ErrInvalid) {
					t.Fatalf("%d workers after %d: %v", one.Workers, n, err)
				}
			},
		})
	})
}

func TestStopAndStartConsumer(t *testing.T) {
	t.Parallel()
	for _, status := range statuses() {
		tenant := domain.Tenant{Status: status}
		tenant.StopConsumer()
		require.True(t, tenant.Stopped)
		require.False(t, tenant.Consuming())
		err := tenant.StartConsumer()
		require.Equal(t, status == domain.TenantInactive, err != nil, status)
		require.Equal(t, err != nil, tenant.Stopped, "an error changes nothing")
		if err != nil {
			require.ErrorIs(t, err, domain.ErrConflict)
			require.Equal(t, "tenant_inactive", domain.CodeOf(err))
		}
	}
}

func TestRetentionDays(t *testing.T) {
	t.Parallel()
	for days, ok := range map[int]bool{-1: false, 0: true, 1: true, 3650: true, 3651: false} {
		tenant, err := domain.NewTenant{Name: "a", RetentionDays: &days}.Build(uuid.New(), 3, time.Now())
		changed := domain.Tenant{RetentionDays: 7}
		changeErr := domain.TenantChange{RetentionDays: &days}.Apply(&changed)
		if !ok {
			require.Equal(t, []string{"/retention_days"}, pointers(t, err))
			require.Equal(t, []string{"/retention_days"}, pointers(t, changeErr))
			require.Equal(t, 7, changed.RetentionDays)
			continue
		}
		require.NoError(t, errors.Join(err, changeErr))
		require.Equal(t, days, tenant.RetentionDays)
		require.Equal(t, days, changed.RetentionDays)
	}
}
