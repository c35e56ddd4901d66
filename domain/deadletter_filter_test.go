package domain_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestParseDeadLetterFilter(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("0197a3a2-7d2c-7c3e-8f7e-0242ac120002")
	said := func(s string) *string { return &s }
	f, wrong := domain.ParseDeadLetterFilter(nil, nil, nil, nil)
	require.Empty(t, wrong)
	require.True(t, f.Empty())
	f, wrong = domain.ParseDeadLetterFilter(said("unknown"), said(id.String()), said("2026-11-21T11:00:00+01:00"), said("2026-11-21T10:00:00.5Z"))
	require.Empty(t, wrong)
	require.False(t, f.Empty())
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	require.Equal(t, domain.DeadLetterFilter{Reason: domain.ReasonUnknown, EndpointID: id, From: at, To: at.Add(time.Second / 2)}, f)
	for _, reason := range domain.DeadLetterReasons() {
		_, wrong := domain.ParseDeadLetterFilter(said(string(reason)), nil, nil, nil)
		require.Empty(t, wrong)
	}
	for _, c := range []struct {
		reason, endpoint, from, to *string
		pointers                   []string
	}{
		{reason: said(""), pointers: []string{"reason"}},
		{reason: said("DELIVERY_FAILED"), pointers: []string{"reason"}},
		{endpoint: said(""), pointers: []string{"endpoint_id"}},
		{endpoint: said(uuid.Nil.String()), pointers: []string{"endpoint_id"}},
		{endpoint: said("x"), from: said("x"), to: said("x"), reason: said("x"), pointers: []string{"reason", "endpoint_id", "from", "to"}},
		{from: said(""), pointers: []string{"from"}},
		{from: said("2026-11-21"), pointers: []string{"from"}},
		{to: said("0001-01-01T00:00:00Z"), pointers: []string{"to"}}, // the zero time, which would restrict nothing
		{to: said("0000-01-01T00:00:00Z"), pointers: []string{"to"}},
		{to: said("99999-01-01T00:00:00Z"), pointers: []string{"to"}},
		{from: said("2026-11-21T10:00:00Z"), to: said("2026-11-21T10:00:00Z"), pointers: []string{"to"}},
		{from: said("2026-11-21T10:00:00Z"), to: said("2026-11-21T10:59:00+01:00"), pointers: []string{"to"}},
	} {
		_, wrong := domain.ParseDeadLetterFilter(c.reason, c.endpoint, c.from, c.to)
		var pointers []string
		for _, w := range wrong {
			pointers = append(pointers, w.Pointer)
		}
		require.Equal(t, c.pointers, pointers)
	}
}
