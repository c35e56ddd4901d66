package tests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// refuseRows makes the server refuse what is stored in a table, as it does
// when there is no room, no right or a bad disk.
func refuseRows(b *apptest.Probes, table, code string) (end func()) {
	b.Exec(`CREATE OR REPLACE FUNCTION refuse_` + code + `() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '` + code + `'; END $$`)
	b.Exec(`CREATE TRIGGER refuse BEFORE INSERT ON ` + table + ` FOR EACH ROW EXECUTE FUNCTION refuse_` + code + `()`)
	return func() { b.Exec(`DROP TRIGGER refuse ON ` + table) }
}

// The server refuses the rows of one tenant for the sake of where they are
// kept: the others' are stored, and that tenant's as soon as it can be.
func TestOneTenantsStorageRefuses(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	for _, code := range []string{"53100", "58030", "55000", "42501"} {
		refused, free := app.CreateTenant("refused "+code, 1).ID, app.CreateTenant("free "+code, 1).ID
		sent := app.PublishAll(refused, numbered(3))
		app.Stored(refused, len(sent))
		end := refuseRows(app.Probes, apptest.PartitionName(refused), code)
		sent = append(sent, app.PublishAll(refused, numbered(500))...)

		begun := time.Now()
		others := app.PublishAll(free, numbered(100))
		require.Equal(t, others, apptest.IDs(app.Stored(free, len(others))))
		t.Log(code, "the other tenant's messages are stored after", time.Since(begun))
		require.Less(t, time.Since(begun), 10*time.Second)
		require.Len(t, app.History(refused, 1000), 3)

		sent = append(sent, app.PublishAll(refused, numbered(20))...)
		end()
		require.Equal(t, sent, apptest.IDs(app.Stored(refused, len(sent))), "in order")
		app.RequireNoDeadLetters(refused)
		app.RequireNoDeadLetters(free)
	}
}

// A server that takes nothing from anybody is an outage, which costs it little
// and ends soon after the server can store again.
func TestStorageOfAllRefuses(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"53100", "25006"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			app := apptest.Boot(t)
			tenants := make([]string, 20)
			for i := range tenants {
				tenants[i] = app.CreateTenant("tenant", 1).ID
			}
			end := refuseRows(app.Probes, "messages", code)
			sent := make(map[string][]string)
			for range 3 {
				for _, id := range tenants {
					sent[id] = append(sent[id], app.PublishAll(id, numbered(5))...)
				}
			}
			for _, id := range tenants {
				app.Settled(apptest.QueueName(id))
			}
			require.Zero(t, apptest.QueryRow[int](app.Probes, `SELECT count(*) FROM messages`))
			end()
			begun := time.Now()
			apptest.Await(t, 10*time.Second, func() error {
				if n := apptest.QueryRow[int](app.Probes, `SELECT count(*) FROM messages`); n < 15*len(tenants) {
					return apptest.NotYet("%d stored", n)
				}
				return nil
			})
			t.Log("stored", time.Since(begun), "after the end")
			for id, ids := range sent {
				require.Equal(t, ids, apptest.IDs(app.Stored(id, len(ids))))
				app.RequireNoDeadLetters(id)
			}
		})
	}
}
