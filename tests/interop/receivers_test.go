//go:build interop

package interop

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// What the page shows with libraries from npm is run with these versions.
const (
	npmStandardWebhooks = "standardwebhooks@1.1.1"
	npmSvix             = "svix@2.5.0"
)

// The receivers of the page take everything that the service sends with the secret
// they have, before a rotation, and during it with the old and with the new one, and
// nothing else.
func TestReceivers(t *testing.T) {
	t.Parallel()
	commands := receivers(t)
	app := apptest.Boot(t, apptest.Delivering())
	tenant := app.CreateTenant("Acme", 3).ID
	r := apptest.NewReceiver(t, apptest.Answering(http.StatusOK))
	e := app.CreateEndpoint(tenant, r.URL(), nil)
	payloads := []string{`{"text":"ä 😀 \"quoted\"","n":1e2}`, `{}`, `0`, `"<&>\u2028"`, `[null,false]`, `{"large":"` + strings.Repeat("x", 300_000) + `"}`}
	record := func(payloads ...string) []apptest.Received {
		seen := len(r.Received())
		for _, payload := range payloads {
			app.Publish(tenant, payload)
		}
		apptest.Await(t, apptest.Long, func() error {
			if n := len(r.Received()) - seen; n < len(payloads) {
				return apptest.NotYet("%d of %d delivered", n, len(payloads))
			}
			return nil
		})
		return r.Received()[seen:]
	}
	rotate := func(grace string) string {
		var rotated apptest.Endpoint
		app.Want(http.StatusOK, &rotated, "POST", e.Path()+"/rotate-secret", map[string]string{"grace": grace})
		return rotated.Secret
	}
	// sign waits until deliveries have so many signatures.
	sign := func(signatures int) {
		apptest.Await(t, apptest.Long, func() error {
			if got := len(strings.Fields(record(`1`)[0].Signature)); got != signatures {
				return apptest.NotYet("%d signatures: %d", signatures, got)
			}
			return nil
		})
	}
	first := e.Secret
	before := record(payloads...)
	second := rotate("1h")
	sign(2)
	during := record(payloads...)
	rotate("0s")
	sign(1)
	after := record(payloads...)

	for name, command := range commands {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old, fresh := start(t, command, first), start(t, command, second)
			for i := range payloads {
				offer := func(d apptest.Received) [2]int { return [2]int{old.offer(t, d), fresh.offer(t, d)} }
				require.Equal(t, [2]int{204, 401}, offer(before[i]), "before the rotation: %.80s", before[i].Body)
				require.Equal(t, [2]int{204, 204}, offer(during[i]), "during the overlap: %.80s", during[i].Body)
				require.Equal(t, [2]int{401, 401}, offer(after[i]), "with a third secret alone: %.80s", after[i].Body)
				forged := during[i]
				forged.Body = append([]byte(" "), forged.Body...)
				require.Equal(t, [2]int{401, 401}, offer(forged), "another body: %.80s", forged.Body)
				forged = during[i]
				forged.ID = e.ID
				require.Equal(t, [2]int{401, 401}, offer(forged), "another id: %.80s", forged.Body)
			}
			// And straight from the service.
			own := app.CreateTenant(name, 3).ID
			live := app.CreateEndpoint(own, fresh.url, map[string]any{"secret": second, "headers": map[string]string{"Authorization": "Bearer abc"}})
			for _, payload := range payloads {
				id := app.Publish(own, payload)
				fresh.awaitOutput(t, id)
			}
			require.Empty(t, app.Endpoint(&live).FailingSince)
		})
	}
}

// receivers returns the programs of the page, as commands, by name.
func receivers(t *testing.T) map[string][]string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	program := filepath.Join(dir, "receiver")
	output(t, "../..", "go", "build", "-o", program, write("main.go", block(t, "go")))

	installInto(t, dir, npmStandardWebhooks, npmSvix)
	node := block(t, "js")
	bySvix := strings.Replace(node, `from "standardwebhooks"`, `from "svix"`, 1)
	require.NotEqual(t, node, bySvix)
	return map[string][]string{
		"go":     {program},
		"node":   {"node", write("receiver.mjs", node)},
		"svix":   {"node", write("svix.mjs", bySvix)},
		"python": {"python3", write("receiver.py", block(t, "python"))},
	}
}

// receiver is a program that runs.
type receiver struct {
	url    string
	output *printed
}

// start starts a program with a secret; it ends with the test.
func start(t *testing.T, command []string, secret string) *receiver {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	r := &receiver{url: "http://" + address + "/hooks/orders", output: new(printed)}
	c := exec.CommandContext(t.Context(), command[0], command[1:]...)
	c.Env = append(os.Environ(), "WEBHOOK_SECRET="+secret, "PORT="+port)
	c.Stdout, c.Stderr = r.output, r.output
	require.NoError(t, c.Start())
	t.Cleanup(func() { _ = c.Wait() }) // the context has ended
	apptest.Await(t, apptest.Long, func() error {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			return apptest.NotYet("listening: %v; %s", err, r.output.text())
		}
		return conn.Close()
	})
	return r
}

// offer sends what was recorded, and returns the status of the answer.
func (r *receiver) offer(t *testing.T, d apptest.Received) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url, bytes.NewReader(d.Body))
	require.NoError(t, err)
	request.Header = http.Header{"Webhook-Id": {d.ID}, "Webhook-Timestamp": {d.Timestamp}, "Webhook-Signature": {d.Signature}}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err, "%s", r.output.text())
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}

// awaitOutput waits until the program has printed something.
func (r *receiver) awaitOutput(t *testing.T, text string) {
	t.Helper()
	apptest.Await(t, apptest.Long, func() error {
		if !strings.Contains(r.output.text(), text) {
			return apptest.NotYet("printed: %s", text)
		}
		return nil
	})
}

// printed is what a program printed. It is safe for concurrent use.
type printed struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// Write implements io.Writer.
func (o *printed) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(p)
}

func (o *printed) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}
