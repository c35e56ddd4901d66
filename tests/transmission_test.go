package tests

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// endpointTimeout is longer than any answer of these tests takes.
const endpointTimeout = 15 * time.Second

// The number of workers is the number of messages that an endpoint gets at a
// time: never more, and as many when there is enough to do. That can be
// changed meanwhile.
func TestWorkersAreTransmissionsAtATime(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Transmitting(5))
	release := make(chan struct{})
	receiver := apptest.NewReceiver(t, nil)
	receiver.Answer(func(_ http.ResponseWriter, r *http.Request) { receiver.Hold(r, release) })
	tenant := app.CreateTenant("transmits", 5).ID
	secret := app.SetEndpoint(tenant, receiver.URL(), endpointTimeout).Secret
	// None waits for longer than its timeout on the way through this test.
	const messages = 350
	ids := app.PublishAll(tenant, numbered(messages))

	stays := func(n int) {
		t.Helper()
		receiver.AwaitAtOnce(n)
		for range 3 * n { // the workers go on with others
			release <- struct{}{}
		}
		receiver.AwaitAtOnce(n)
		require.Equal(t, n, receiver.Most(), "at a time")
	}
	stays(5)
	app.Resize(tenant, 2)
	for range 10 { // those that are too many leave when theirs was answered
		release <- struct{}{}
	}
	receiver.AwaitAtOnce(2)
	receiver.Most()
	stays(2)
	app.Resize(tenant, 8)
	begun := time.Now()
	receiver.AwaitAtOnce(8)
	t.Logf("8 at a time after %v", time.Since(begun))
	stays(8)
	app.Resize(tenant, 60)
	stays(60)

	close(release)
	app.Stored(tenant, messages)
	requireSucceeded(t, app, tenant, ids)
	require.LessOrEqual(t, receiver.Most(), 60)
	requireReceived(t, receiver, ids)
	for _, got := range receiver.Received() {
		requireSigned(t, secret, &got)
	}
	require.Empty(t, app.Endpoint(tenant).Secret, "shown once")
	require.Empty(t, app.SetEndpoint(tenant, receiver.URL(), endpointTimeout).Secret, "shown once")
	app.Settled(apptest.QueueName(tenant))
	app.RequireNoDeadLetters(tenant)
}

// requireSucceeded waits until messages were transmitted, each at the first
// attempt.
func requireSucceeded(t *testing.T, app *apptest.App, tenant string, ids []string) {
	t.Helper()
	for _, id := range ids {
		apptest.Await(t, apptest.Long, func() error {
			return app.Delivery(tenant, id).Is("succeeded", 1, http.StatusOK)
		})
	}
}

// requireReceived ends the test unless each of these messages, and no other,
// was received once.
func requireReceived(t *testing.T, receiver *apptest.Receiver, ids []string) {
	t.Helper()
	want := make(map[string]int)
	for _, id := range ids {
		want[id] = 1
	}
	require.Equal(t, want, receiver.Times())
}

// requireSigned verifies a request as Standard Webhooks has it.
func requireSigned(t *testing.T, secret string, got *apptest.Received) {
	t.Helper()
	encoded, ok := strings.CutPrefix(secret, "whsec_")
	require.True(t, ok, "the secret's form")
	key, err := base64.StdEncoding.DecodeString(encoded)
	require.NoError(t, err)
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", got.ID, got.Timestamp, got.Body)
	require.Equal(t, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), got.Signature)
	sent, err := strconv.ParseInt(got.Timestamp, 10, 64)
	require.NoError(t, err)
	require.WithinDuration(t, got.At, time.Unix(sent, 0), time.Minute)
}

// failedLetter is a dead letter of what could not be transmitted.
type failedLetter struct {
	MessageID string `json:"message_id"`
	Reason    string `json:"reason"`
	Error     string `json:"error"`
	Attempts  int    `json:"attempts"`
}

// failedLetters waits until the tenant has n dead letters, and returns them by
// message.
func failedLetters(t *testing.T, app *apptest.App, tenant string, n int) map[string]failedLetter {
	t.Helper()
	var page struct{ Data []failedLetter }
	apptest.Await(t, apptest.Long, func() error {
		page.Data = nil
		app.Want(http.StatusOK, &page, "GET", "/api/dead-letters?limit=1000", nil, apptest.ForTenant(tenant))
		if len(page.Data) != n {
			return apptest.NotYet("%d dead letters: %+v", n, page.Data)
		}
		return nil
	})
	letters := make(map[string]failedLetter)
	for _, l := range page.Data {
		letters[l.MessageID] = l
	}
	require.Len(t, letters, n, "one of each message")
	return letters
}

func replayAll(t *testing.T, app *apptest.App, tenant string, n int) {
	t.Helper()
	var result struct{ Replayed, Skipped int }
	app.Want(http.StatusAccepted, &result, "POST", "/api/dead-letters/replay", `{"all":true}`, apptest.ForTenant(tenant))
	require.Equal(t, n, result.Replayed)
}

// What an endpoint refuses is tried again, later each time, and in the end a
// dead letter; how far it got can be asked for all the time. Sent again it
// arrives under the id it had, and is stored once.
func TestRefusedTransmissions(t *testing.T) {
	t.Parallel()
	const attempts = 3
	app := apptest.Boot(t, apptest.Transmitting(attempts))
	receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusInternalServerError))
	tenant, plain := app.CreateTenant("refused", 2).ID, app.CreateTenant("without endpoint", 0).ID
	app.SetEndpoint(tenant, receiver.URL(), endpointTimeout)
	id := app.Publish(tenant, `{"n":1}`)
	app.Stored(tenant, 1)
	for n := 1; n < attempts; n++ {
		apptest.Await(t, apptest.Long, func() error {
			return app.Delivery(tenant, id).Is("retrying", n, http.StatusInternalServerError)
		})
	}
	letter := failedLetters(t, app, tenant, 1)[id]
	require.Equal(t, failedLetter{MessageID: id, Reason: "transmit_failed", Error: "status 500", Attempts: attempts}, letter)
	require.NoError(t, app.Delivery(tenant, id).Is("failed", attempts, http.StatusInternalServerError))
	got := receiver.Received()
	require.Len(t, got, attempts)
	for i, tier := range []time.Duration{time.Second, 5 * time.Second} {
		require.Greater(t, got[i+1].At.Sub(got[i].At), tier*9/10, "the wait before attempt %d", i+2)
	}

	receiver.Answer(apptest.Answering(http.StatusOK))
	replayAll(t, app, tenant, 1)
	requireSucceeded(t, app, tenant, []string{id})
	require.Equal(t, map[string]int{id: attempts + 1}, receiver.Times())
	for _, r := range receiver.Received() {
		require.JSONEq(t, `{"n":1}`, string(r.Body))
	}
	app.Stored(tenant, 1)
	failedLetters(t, app, tenant, 0)

	other := app.Publish(plain, `1`)
	app.Stored(plain, 1)
	require.Nil(t, app.Delivery(plain, other), "nothing is said where nothing is transmitted")
}

// The count of attempts travels with the message, where any AMQP client may
// write what it likes: what counts is what is recorded.
func TestForgedAttempts(t *testing.T) {
	t.Parallel()
	const attempts = 2
	app := apptest.Boot(t, apptest.Transmitting(attempts))
	receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusServiceUnavailable))
	tenant := app.CreateTenant("forged", 3).ID
	app.SetEndpoint(tenant, receiver.URL(), endpointTimeout)
	want := make(map[string]int)
	var forged []amqp.Publishing
	for _, attempt := range []any{
		int64(1), int64(attempts), int64(1 << 40), int32(77), int64(0), int64(-1 << 40), "1", amqp.Table{"x": int64(1)},
	} {
		id := uuid.NewString()
		want[id] = attempts
		forged = append(forged, amqp.Publishing{MessageId: id, Body: []byte(`"forged"`), Headers: amqp.Table{"x-attempt": attempt}})
	}
	app.PutAll(apptest.QueueName(tenant), forged)
	letters := failedLetters(t, app, tenant, len(forged))
	require.Equal(t, want, receiver.Times())
	for id := range want {
		require.Equal(t, failedLetter{MessageID: id, Reason: "transmit_failed", Error: "status 503", Attempts: attempts}, letters[id])
	}
	app.Stored(tenant, len(forged))
}

// An endpoint that is gone gets no more. Messages are stored all the same, and
// wait among the dead letters until it is set again.
func TestGoneEndpoint(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Transmitting(3))
	receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusGone))
	tenant := app.CreateTenant("gone", 1).ID
	app.SetEndpoint(tenant, receiver.URL(), endpointTimeout)
	ids := []string{app.Publish(tenant, `0`)}
	first := failedLetters(t, app, tenant, 1)[ids[0]]
	require.Equal(t, failedLetter{MessageID: ids[0], Reason: "transmit_failed", Error: "status 410", Attempts: 1}, first)
	require.Equal(t, "paused", app.Endpoint(tenant).Status)
	require.Contains(t, app.Endpoint(tenant).PausedReason, "410")

	ids = append(ids, app.PublishAll(tenant, numbered(9))...)
	app.Stored(tenant, len(ids))
	letters := failedLetters(t, app, tenant, len(ids))
	for _, id := range ids[1:] {
		require.Equal(t, "endpoint_paused", letters[id].Reason)
		require.NoError(t, app.Delivery(tenant, id).Is("failed", 0, 0))
	}
	require.Len(t, receiver.Received(), 1, "none but the first was sent")
	app.Restart()
	paused := app.Publish(tenant, `"paused"`)
	require.Equal(t, "endpoint_paused", failedLetters(t, app, tenant, len(ids)+1)[paused].Reason, "it stays so")

	receiver.Answer(apptest.Answering(http.StatusOK))
	app.SetEndpoint(tenant, receiver.URL(), endpointTimeout)
	fresh := app.Publish(tenant, `"fresh"`)
	requireSucceeded(t, app, tenant, []string{fresh})
	replayAll(t, app, tenant, len(ids)+1)
	ids = append(ids, paused, fresh)
	requireSucceeded(t, app, tenant, ids)
	times := receiver.Times()
	require.Equal(t, 2, times[ids[0]], "once in vain")
	for _, id := range ids[1:] {
		require.Equal(t, 1, times[id])
	}
	stored := apptest.IDs(app.Stored(tenant, len(ids)))
	slices.Sort(stored)
	slices.Sort(ids)
	require.Equal(t, ids, stored)
}
