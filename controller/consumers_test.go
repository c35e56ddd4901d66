package controller

import (
	"context"
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/model"
)

func someConsumer() domain.ConsumerStatus {
	return domain.ConsumerStatus{
		TenantID: tenantID, State: "running", Workers: 3, Busy: 1, Depth: 42, Tag: "tag", Replica: "host", Since: someTime, LastError: "was away",
	}
}

func (f fakeConsumers) Consumers(_ context.Context, _ domain.Principal, q domain.TenantQuery) ([]domain.ConsumerStatus, bool, error) {
	err := f.record(func() { f.tenantQuery = q })
	if q.After != uuid.Nil {
		return nil, false, err
	}
	return []domain.ConsumerStatus{f.consumer}, f.more, err
}

func (f fakeConsumers) Consumer(context.Context, domain.Principal, uuid.UUID) (domain.ConsumerStatus, error) {
	return f.consumer, f.record(func() {})
}

func (f fakeConsumers) StopConsumer(context.Context, domain.Principal, uuid.UUID) (domain.ConsumerStatus, error) {
	err := f.record(func() {})
	return domain.ConsumerStatus{TenantID: tenantID, State: domain.ConsumerStopped, Stopped: true, Workers: 3, Depth: -1}, err
}

func (f fakeConsumers) StartConsumer(context.Context, domain.Principal, uuid.UUID) (domain.ConsumerStatus, error) {
	err := f.record(func() {})
	if err == nil {
		t := f.tenant
		err = t.StartConsumer()
	}
	return f.consumer, err
}

func (f fakeConsumers) StopConsumers(context.Context, domain.Principal) (int, error) {
	return 12, f.record(func() {})
}

func (f fakeConsumers) StartConsumers(context.Context, domain.Principal) (int, error) {
	return 0, f.record(func() {})
}

func TestConsumers(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	running := `{"tenant_id":"` + tenantID.String() + `","state":"running","stopped":false,"workers":3,"busy":1,"queue_depth":42,
		"consumer_tag":"tag","replica":"host","since":"2026-11-21T10:00:00Z","last_error":"was away"}`
	stopped := `{"tenant_id":"` + tenantID.String() + `","state":"stopped","stopped":true,"workers":3,"busy":0,"queue_depth":null,
		"consumer_tag":"","replica":"","since":null,"last_error":""}`
	one := "/api/consumers/" + tenantID.String()
	for _, tc := range []struct {
		method, path, want string
		status             int
	}{
		{"GET", one, running, http.StatusOK},
		{"DELETE", one, stopped, http.StatusAccepted},
		{"POST", one, running, http.StatusAccepted},
		{"DELETE", "/consumers", `{"changed":12}`, http.StatusAccepted},
		{"POST", "/consumers", `{"changed":0}`, http.StatusAccepted},
		{"GET", "/consumers", `{"data":[` + running + `],"next_cursor":"","last_cursor":"` + tenantID.String() + `"}`, http.StatusOK},
		{"GET", "/consumers?cursor=" + otherID.String(), `{"data":[],"next_cursor":"","last_cursor":"` + otherID.String() + `"}`, http.StatusOK},
	} {
		got := a.do(tc.method, tc.path, "")
		require.Equal(t, tc.status, got.status, tc.path)
		require.JSONEq(t, tc.want, got.body, tc.path)
	}
	a.fakes.more = true
	page := decodeReply[model.ConsumerPage](t, a.do("GET", "/api/consumers?limit=1&cursor=0", ""))
	require.Equal(t, tenantID.String(), page.NextCursor)
	require.Equal(t, domain.TenantQuery{Limit: 1}, a.fakes.tenantQuery)

	a.fakes.tenant.Status = domain.TenantInactive
	a.problem(a.do("POST", one, ""), http.StatusConflict, "tenant_inactive")
	a.fakes.err = domain.TenantNotFound()
	a.problem(a.do("GET", one, ""), http.StatusNotFound, "tenant_not_found")
}
