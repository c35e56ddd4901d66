package domain_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestReplayRequest(t *testing.T) {
	t.Parallel()
	tenant, endpoint := uuid.New(), uuid.New()
	q, err := new(domain.ReplayRequest{}).Query(tenant, endpoint)
	require.NoError(t, err)
	require.Equal(t, domain.ReplayQuery{TenantID: tenant, EndpointID: endpoint, Rate: 100}, q)
	full := domain.ReplayRequest{
		FromSeq: new(5), ToSeq: new(5), From: new("2026-11-30T10:00:00Z"), To: new("2026-11-30T12:00:00+01:30"), Only: new("failed"),
		Types: []string{"order.*"}, Rate: new(10_000), DryRun: true,
	}
	q, err = full.Query(tenant, endpoint)
	require.NoError(t, err)
	at := time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	require.True(t, at.Equal(q.From))
	require.True(t, at.Add(30*time.Minute).Equal(q.To))
	q.From, q.To = time.Time{}, time.Time{}
	require.Equal(t, domain.ReplayQuery{
		TenantID: tenant, EndpointID: endpoint, FromSeq: 5, ToSeq: 5, OnlyFailed: true, Types: []domain.TypePattern{"order.*"}, Rate: 10_000,
	}, q)

	for name, c := range map[string]struct {
		request domain.ReplayRequest
		wrong   []string
	}{
		"zero":      {domain.ReplayRequest{FromSeq: new(0), ToSeq: new(-1)}, []string{"/from_seq", "/to_seq"}},
		"backwards": {domain.ReplayRequest{FromSeq: new(5), ToSeq: new(4)}, []string{"/to_seq"}},
		"times":     {domain.ReplayRequest{From: new("yesterday"), To: new("")}, []string{"/from", "/to"}},
		"no zone":   {domain.ReplayRequest{From: new("2026-11-30T10:00:00")}, []string{"/from"}},
		"year 0":    {domain.ReplayRequest{From: new("0000-11-30T10:00:00Z")}, []string{"/from"}},
		"too early": {domain.ReplayRequest{From: full.To, To: full.From}, []string{"/to"}},
		"only":      {domain.ReplayRequest{Only: new("some")}, []string{"/only"}},
		"types":     {domain.ReplayRequest{Types: []string{"a", "a..b", "a"}}, []string{"/types/1", "/types/2"}},
		"many":      {domain.ReplayRequest{Types: strings.Split(strings.Repeat("a ", 51), " ")}, []string{"/types"}},
		"slow":      {domain.ReplayRequest{Rate: new(0)}, []string{"/rate"}},
		"fast":      {domain.ReplayRequest{Rate: new(10_001)}, []string{"/rate"}},
	} {
		_, err := c.request.Query(tenant, endpoint)
		require.Equal(t, c.wrong, pointers(t, err), name)
	}
}
