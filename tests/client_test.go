package tests

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/client"
	"lanekeeper/tests/apptest"
)

// historyOf reads what the history has, until there are n messages.
func historyOf(t *testing.T, c *client.Client, n int) []client.Message {
	t.Helper()
	var stored []client.Message
	for m, err := range c.History(t.Context(), client.HistoryOptions{Follow: true, Limit: n, PageSize: 300}) {
		require.NoError(t, err)
		stored = append(stored, m)
	}
	require.Len(t, stored, n)
	return stored
}

func TestClientPublishesAndReads(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	c := app.API("")
	tenant, err := c.Tenants.Create(t.Context(), client.CreateTenant{Name: "Acme", Workers: 1})
	require.NoError(t, err)
	require.Equal(t, client.TenantActive, tenant.Status)
	c = c.ForTenant(tenant.ID)

	key := "order-1"
	first, err := c.Publish(t.Context(), client.NewMessage{
		Payload: json.RawMessage("{\n \"total\": 12\n}"), Type: "order.created", OrderingKey: "o-1",
		Headers: map[string]string{"source": "shop"}, IdempotencyKey: key,
	})
	require.NoError(t, err)
	require.False(t, first.Replayed)
	again, err := c.Publish(t.Context(), client.NewMessage{
		Payload: json.RawMessage(`{"total":12}`), Type: "order.created", OrderingKey: "o-1",
		Headers: map[string]string{"source": "shop"}, IdempotencyKey: key,
	})
	require.NoError(t, err)
	require.True(t, again.Replayed)
	require.Equal(t, first.ID, again.ID)
	_, err = c.Publish(t.Context(), client.NewMessage{Payload: json.RawMessage(`1`), IdempotencyKey: key})
	require.ErrorIs(t, err, client.CodeIdempotencyKeyReused)
	second, err := c.PublishValue(t.Context(), map[string]string{"a": "<b>"})
	require.NoError(t, err)

	stored := historyOf(t, c, 2)
	require.Equal(t, first.ID, stored[0].ID)
	require.Equal(t, "order.created", stored[0].Type)
	require.Equal(t, "o-1", stored[0].OrderingKey)
	require.Equal(t, map[string]string{"source": "shop"}, stored[0].Headers)
	require.JSONEq(t, `{"total":12}`, string(stored[0].Payload))
	require.Equal(t, second.ID, stored[1].ID)

	var newest []int64
	for m, err := range c.History(t.Context(), client.HistoryOptions{Descending: true}) {
		require.NoError(t, err)
		newest = append(newest, m.Seq)
	}
	require.Equal(t, []int64{2, 1}, newest)
}

// Of 10,000 messages those that nobody can store are refused, each with its reason,
// and all others are stored once, in their order.
func TestClientPublishesABatchWithBadMessages(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	c := app.API(app.CreateTenant("batch", 1).ID)
	const total = 10_000
	messages := make([]client.NewMessage, total)
	bad := make(map[int]client.Code)
	for i := range messages {
		messages[i].Payload = json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))
		switch i % 1000 {
		case 17:
			messages[i].Type = "not a type"
			bad[i] = client.CodeInvalidFields
		case 18:
			messages[i].Payload = json.RawMessage(strings.Repeat("[", 200) + strings.Repeat("]", 200))
			bad[i] = "payload_too_deep"
		case 19:
			messages[i].Payload = json.RawMessage(`{"n":`)
			bad[i] = ""
		}
	}
	results, err := c.PublishBatch(t.Context(), messages)
	var refused *client.PublishError
	require.ErrorAs(t, err, &refused)
	require.EqualValues(t, len(bad), refused.Failed)
	require.EqualValues(t, total, refused.Total)
	var ids []string
	for i, r := range results {
		require.EqualValues(t, i, r.Index)
		code, isBad := bad[i]
		switch {
		case !isBad:
			require.NoError(t, r.Err)
			ids = append(ids, r.ID)
		case code == "":
			require.ErrorIs(t, r.Err, client.ErrNotJSON)
		default:
			require.ErrorIs(t, r.Err, code, "%d", i)
		}
	}
	stored := historyOf(t, c, total-len(bad))
	for i, m := range stored {
		require.Equal(t, ids[i], m.ID)
		require.EqualValues(t, i+1, m.Seq)
	}
	results, err = c.PublishBatch(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, results)
}

func TestClientErrorsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	c := app.API("")
	_, err := c.Tenants.Create(t.Context(), client.CreateTenant{Name: "x", Workers: 1000})
	var refused *client.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 422, refused.Status)
	require.Equal(t, client.CodeInvalidFields, refused.Code)
	require.NotEmpty(t, refused.RequestID)
	require.Equal(t, "/workers", refused.Fields[0].Pointer)
	require.Contains(t, err.Error(), "/workers")
	require.Contains(t, err.Error(), refused.RequestID)

	_, err = c.Tenants.Get(t.Context(), "0197a3a2-7d2c-7c3e-8f7e-0242ac120002")
	require.ErrorIs(t, err, client.CodeTenantNotFound)
	require.NotErrorIs(t, err, client.CodeInvalidFields)
	_, err = c.Tenants.Get(t.Context(), "../users")
	require.ErrorIs(t, err, client.CodeInvalidID, "an id is one segment of the path")
	_, err = c.PublishValue(t.Context(), 1)
	require.ErrorIs(t, err, client.CodeTenantRequired)
	_, err = c.Endpoints.List(t.Context())
	require.ErrorIs(t, err, client.ErrNoTenant)
}
