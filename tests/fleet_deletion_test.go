package tests

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// keepLastSeqSQL remembers how many messages a tenant had stored when its
// history is erased. The service deletes as a role that may not write there.
const keepLastSeqSQL = `
CREATE TABLE erased (tenant_id uuid PRIMARY KEY, stored bigint);
CREATE FUNCTION keep_last_seq() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO erased VALUES (OLD.tenant_id, OLD.last_seq);
    RETURN OLD;
END $$;
CREATE TRIGGER keep_last_seq BEFORE DELETE ON tenant_streams FOR EACH ROW EXECUTE FUNCTION keep_last_seq()`

// Tenants are deleted through either of two instances while both take messages
// for them, and one of the two consumes. Everything that was accepted was stored
// or is counted as discarded, and no other tenant notices anything.
func TestDeletingInAFleetLosesNothing(t *testing.T) {
	t.Parallel()
	fleet := apptest.BootFleet(t, 2)
	fleet[0].Exec(keepLastSeqSQL)
	bystander := fleet[0].CreateTenant("bystander", 1).ID
	apptest.Owner(t, fleet, bystander)
	var others []*apptest.Load
	for _, app := range fleet {
		others = append(others, apptest.StartLoad(t, app.Client, []string{bystander, bystander}, 1))
	}
	for round := range 6 {
		tenant := fleet[0].CreateTenant("deleted", 2).ID
		owner, _ := apptest.Owner(t, fleet, tenant)
		stopped := round >= 4
		if stopped { // and everything is in the queue
			owner.Call("DELETE", "/api/consumers/"+tenant, nil)
		}
		var loads []*apptest.Load
		for _, app := range fleet {
			loads = append(loads, apptest.StartLoad(t, app.Client, []string{tenant, tenant, tenant}, 150))
		}
		for _, load := range loads {
			load.AwaitEnough()
		}
		answer := fleet[round%2].Call("DELETE", "/api/tenants/"+tenant, nil)
		require.Contains(t, []int{http.StatusNoContent, http.StatusAccepted}, answer.Status)
		apptest.Await(t, apptest.Long, func() error {
			if status := statusOf(fleet[0], tenant); status != "deleted" {
				return apptest.NotYet("deleted: %s", status)
			}
			return nil
		})
		accepted := 0
		for _, load := range loads {
			load.Stop()
			load.RequireNoRefusals(http.StatusNotFound, http.StatusServiceUnavailable, http.StatusMultiStatus)
			accepted += load.Accepted()
		}
		stored := apptest.QueryRow[int](fleet[0].Probes, `SELECT stored FROM erased WHERE tenant_id = $1`, tenant)
		discarded := apptest.QueryRow[int](fleet[0].Probes, `SELECT discarded FROM tenants WHERE id = $1`, tenant)
		t.Logf("accepted %d, stored %d, discarded %d", accepted, stored, discarded)
		require.GreaterOrEqual(t, stored+discarded, accepted)
		if stopped {
			require.Positive(t, discarded)
		}
		for _, app := range fleet {
			requireGone(t, app, tenant)
		}
	}
	for _, load := range others {
		load.Stop()
		load.RequireNoRefusals()
		load.RequireAllStored(fleet[0].Probes)
	}
}
