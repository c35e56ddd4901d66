package scenario

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/report"
)

// Without a network the scenario fails and says why: it is not left out.
func TestNoNetworkIsAFailure(t *testing.T) {
	t.Parallel()
	why := errors.New("only root may")
	sc := scenario{name: "cut"}
	tr := &trial{scenario: sc, Result: &report.Result{Subject: sc.subject()}, Env: &env.Env{Shared: &env.Shared{Options: env.Options{NoNetwork: why}}}}
	_, stop, err := startSite(t.Context(), tr)
	require.Nil(t, stop)
	require.ErrorIs(t, err, env.ErrNoNetwork)
	require.ErrorIs(t, err, why)
	tr.Seal(err)
	require.Equal(t, "DOES NOT HOLD", tr.Verdict())
	rep := report.New(report.Head{}, []report.Subject{sc.subject()})
	rep.Results = []*report.Result{tr.Result}
	require.Contains(t, rep.Page(), "- does not hold: no network of its own: only root may")
}
