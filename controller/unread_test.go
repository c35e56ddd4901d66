package controller

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/controller/middleware"
)

// cutConnection is one whose client does not read.
type cutConnection struct {
	mu      sync.Mutex
	serving []string // guarded by mu
}

func (c *cutConnection) Serving(request string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serving = append(c.serving, request)
}

func (c *cutConnection) Cut() bool { return true }

// The connection that cuts an answer knows the id of its request, which is in
// the log and the metrics as one whose client did not wait.
func TestUnreadAnswers(t *testing.T) {
	t.Parallel()
	observed := make(chan int, 1)
	a := newAPI(t, func(o *Options) { o.Observe = func(_, _ string, status int, _ float64) { observed <- status } })
	conn := &cutConnection{}
	server := httptest.NewUnstartedServer(a.server.Config.Handler)
	server.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return middleware.WithConnection(ctx, conn)
	}
	server.Start()
	t.Cleanup(server.Close)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/messages", http.NoBody)
	require.NoError(t, err)
	request.Header.Set("Authorization", "admin")
	request.Header.Set("X-Tenant-ID", tenantID.String())
	request.Header.Set("X-Request-ID", "unread-1")
	response, err := http.DefaultClient.Do(request)
	if err == nil {
		require.NoError(t, response.Body.Close())
	}
	require.Equal(t, 499, <-observed)
	require.Equal(t, []string{"unread-1"}, conn.serving)
	require.Contains(t, a.logs.String(), `"ended":"unread"`)
	require.Contains(t, a.logs.String(), `"status":499`)
	require.NotContains(t, a.logs.String(), `"level":"ERROR"`)
}
