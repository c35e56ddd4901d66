package delivery

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// Whatever a message carries that came by AMQP, its delivery can be sent.
func TestHeadersOfDeliveriesAreHeaders(t *testing.T) {
	t.Parallel()
	m := &domain.Message{
		Seq: 7, Type: `order created, "now" ü`, OrderingKey: "k\u0085",
		Headers: map[string]string{
			"a b:c/@=ü": "line\r\nbreak", "plain-1_x.y": "value", "n": "", "TraceParent": "00-4b-00-01", "\u00a0": " ",
		},
	}
	got := headers(&domain.DeliveryTarget{}, m, 2, uuid.Nil)
	var arrived http.Header
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { arrived = r.Header }))
	defer receiver.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, receiver.URL, nil)
	require.NoError(t, err)
	for name, value := range got {
		request.Header.Set(name, value)
	}
	response, err := receiver.Client().Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	for name, value := range got {
		require.Equal(t, []string{value}, arrived.Values(name), name)
	}
	require.Equal(t, "line%0D%0Abreak", got["Lanekeeper-Header-a%20b%3Ac%2F%40%3D%C3%BC"])
	require.Equal(t, "value", got["Lanekeeper-Header-plain-1_x.y"])
	require.Equal(t, "00-4b-00-01", got["traceparent"])
	require.Contains(t, got, "Lanekeeper-Header-n")
}

// A letter has what its message carried.
func TestLettersOfDeliveriesKeepEnvelopes(t *testing.T) {
	t.Parallel()
	m := &domain.Message{ID: uuid.New(), Seq: 7, Type: "t", OrderingKey: "k", Headers: map[string]string{"a": "1"}, Payload: []byte(`1`)}
	e := &entry{seq: 7, message: m}
	letter := letterOf(&domain.DeliveryTarget{}, e, 3, http.StatusTeapot, "no")
	require.Equal(t, m.Envelope(), letter.Envelope())
	require.Equal(t, "418", letter.Headers["x-status"])
	require.Equal(t, m.Size(), e.size())
}
