package tests

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

type deadLetter struct {
	ID         int64          `json:"id"`
	MessageID  string         `json:"message_id"`
	Reason     string         `json:"reason"`
	Error      string         `json:"error"`
	Body       any            `json:"body"`
	BodyBase64 *string        `json:"body_base64"`
	Headers    map[string]any `json:"headers"`
	ReplayedAt *time.Time     `json:"replayed_at"`

	Type        *string `json:"type"`
	OrderingKey *string `json:"ordering_key"`
	EndpointID  *string `json:"endpoint_id"`
	Seq         *int64  `json:"seq"`
}

type deadLetterPage struct {
	Data       []deadLetter `json:"data"`
	NextCursor string       `json:"next_cursor"`
}

// deadLetters waits until the tenant has n dead letters and returns them.
func deadLetters(t *testing.T, app *apptest.App, tenant, query string, n int) []deadLetter {
	t.Helper()
	var page deadLetterPage
	apptest.Await(t, 30*time.Second, func() error {
		page = deadLetterPage{}
		app.Want(http.StatusOK, &page, "GET", "/api/dead-letters?limit=1000"+query, nil, apptest.ForTenant(tenant))
		if len(page.Data) != n {
			return apptest.NotYet("%d dead letters of %d", len(page.Data), n)
		}
		return nil
	})
	return page.Data
}

// What cannot be processed waits where a person can see it, mend the cause and
// send it again; what was sent again is stored once.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant, other := app.CreateTenant("has letters", 0).ID, app.CreateTenant("other", 0).ID
	app.Put(apptest.QueueName(tenant), "order-1", "not json \xff")
	app.Put(apptest.QueueName(tenant), "", `"\u0000"`)
	app.Put(apptest.QueueName(other), "x", `{`)
	letters := deadLetters(t, app, tenant, "", 2)
	foreign := deadLetters(t, app, other, "", 1)[0]
	require.Equal(t, "order-1", letters[0].MessageID)
	require.Equal(t, "invalid_payload", letters[0].Reason)
	require.Equal(t, base64.StdEncoding.EncodeToString([]byte("not json \xff")), *letters[0].BodyBase64)
	require.Empty(t, letters[1].MessageID)
	require.Equal(t, "\x00", letters[1].Body)
	app.Refused(http.StatusNotFound, "dead_letter_not_found", "GET", fmt.Sprint("/api/dead-letters/", foreign.ID), nil, apptest.ForTenant(tenant))
	require.Zero(t, app.Queue(apptest.DeadLetterQueueName(tenant)).Ready)

	// Nothing was mended, so it dies again, as a new letter.
	var result struct{ Replayed, Skipped int }
	app.Want(http.StatusAccepted, &result, "POST", "/api/dead-letters/replay", map[string]any{"ids": []int64{letters[0].ID, foreign.ID, 1 << 60}}, apptest.ForTenant(tenant))
	require.Equal(t, 1, result.Replayed)
	require.Equal(t, 2, result.Skipped)
	all := deadLetters(t, app, tenant, "&replayed=true", 3)
	require.NotNil(t, all[0].ReplayedAt)
	require.Equal(t, "order-1", all[2].MessageID)
	require.Len(t, deadLetters(t, app, tenant, "", 2), 2)
	require.Nil(t, deadLetters(t, app, other, "", 1)[0].ReplayedAt)

	// Deleting: what is another's stays.
	var deleted struct{ Deleted int }
	app.Want(http.StatusOK, &deleted, "DELETE", "/api/dead-letters", map[string]any{"ids": []int64{all[0].ID, foreign.ID}}, apptest.ForTenant(tenant))
	require.Equal(t, 1, deleted.Deleted)
	app.Want(http.StatusOK, &deleted, "DELETE", "/api/dead-letters", map[string]any{"all": true}, apptest.ForTenant(tenant))
	require.Equal(t, 2, deleted.Deleted)
	deadLetters(t, app, other, "", 1)
	app.Delete(other)
	require.Zero(t, apptest.QueryRow[int](app.Probes, `SELECT count(*) FROM dead_letters`))
}

// Letters whose bodies can be stored are stored once, however often they are
// replayed, and under the ids they had.
func TestReplayedLettersAreStoredOnce(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("replays", 0).ID
	first := app.Publish(tenant, `{"n":1}`)
	app.Stored(tenant, 1)
	messages := []amqp.Publishing{
		{MessageId: first, Body: []byte(`{"n":1}`)}, // is stored already
		{MessageId: "order-2", Body: []byte(`{"n":2}`), Headers: amqp.Table{"x-attempt": int64(99), "x-reason": "forged", "x-dead-letter-id": "forged"}},
		{Body: []byte(`{"n":3}`)},
		{MessageId: uuid.NewString(), Body: []byte(`{"n":4}`)},
	}
	app.PutAll(apptest.DeadLetterQueueName(tenant), messages)
	letters := deadLetters(t, app, tenant, "", len(messages))
	for _, l := range letters {
		require.Equal(t, "unknown", l.Reason)
	}
	for range 3 {
		var result struct{ Replayed, Skipped int }
		app.Want(http.StatusAccepted, &result, "POST", "/api/dead-letters/replay", `{"all":true}`, apptest.ForTenant(tenant))
		require.Equal(t, len(messages), result.Replayed)
		app.Want(http.StatusAccepted, &result, "POST", "/api/dead-letters/replay", `{"all":true}`, apptest.ForTenant(tenant))
		require.Zero(t, result.Replayed)
		app.Exec(`UPDATE dead_letters SET replayed_at = NULL`) // as after a crash before it was noted
	}
	app.Settled(apptest.QueueName(tenant))
	stored := app.Stored(tenant, len(messages))
	require.Len(t, app.History(tenant, 100), len(messages))
	ids := apptest.IDs(stored)
	require.Equal(t, first, ids[0])
	require.Contains(t, ids, uuid.NewSHA1(uuid.MustParse(tenant), []byte("order-2")).String())
	require.Contains(t, ids, messages[3].MessageId)

	app.SetStatus(tenant, "inactive")
	app.Refused(http.StatusConflict, "tenant_inactive", "POST", "/api/dead-letters/replay", `{"all":true}`, apptest.ForTenant(tenant))
	deadLetters(t, app, tenant, "", len(messages))
}

// A message that is sent again after its letter was replayed is one
// more, although nothing tells the two apart.
func TestAMessageThatDiesAgainAfterItsReplay(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("again", 0).ID
	for name, queue := range map[string]string{"consumed": apptest.QueueName(tenant), "in the dead-letter queue": apptest.DeadLetterQueueName(tenant)} {
		for round := range 3 {
			app.Put(queue, "order "+name, "not json")
			letter := deadLetters(t, app, tenant, "", 1)[0]
			app.Want(http.StatusAccepted, nil, "POST", "/api/dead-letters/replay", map[string]any{"ids": []int64{letter.ID}}, apptest.ForTenant(tenant))
			var died deadLetter
			apptest.Await(t, apptest.Long, func() error { // that of the replay, deleted
				open := deadLetters(t, app, tenant, "", 1)
				if died = open[0]; died.ID <= letter.ID {
					return apptest.NotYet("the replay is not dead yet")
				}
				return nil
			})
			app.Want(http.StatusOK, nil, "DELETE", "/api/dead-letters", map[string]any{"ids": []int64{died.ID}}, apptest.ForTenant(tenant))
			deadLetters(t, app, tenant, "", 0)
			t.Log(name, "round", round)
		}
	}
}
