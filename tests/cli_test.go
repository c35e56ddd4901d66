package tests

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/tests/apptest"
)

// unhurried lets a tenant publish as fast as it can.
func unhurried(c *config.Config) { c.PublishRate = 0 }

// numberedLines returns n lines of NDJSON.
func numberedLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"n\":%d}\n", i+1)
	}
	return b.String()
}

// done ends the test unless a command succeeded, and returns what it printed.
func done(t *testing.T, r apptest.Result) string {
	t.Helper()
	require.Zero(t, r.Status, r.Err)
	return r.Out
}

// The tour of the README, with the program alone.
func TestTourByCommand(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	run := func(args ...string) string { return done(t, apptest.RunCommand(t, app.URL(), nil, args...)) }
	tenant := strings.TrimSpace(run("tenants", "create", "Test Partition", "--description", "Test tenant", "-o", "id"))
	require.Equal(t, "ID                                    STATUS  WORKERS  NAME\n"+tenant+"  active        3  Test Partition\n", run("tenants", "list"))
	require.Equal(t, tenant+" has 5 workers\n", run("tenants", "resize", tenant, "5"))
	require.Regexp(t, `^\S{36} accepted\n$`, run("publish", "-t", tenant, `{"text":"hello"}`, "--type", "greeting", "--header", "source=shop"))
	app.Stored(tenant, 1)
	require.Contains(t, run("history", "-t", tenant, "-o", "json"), `"seq":1,"type":"greeting","headers":{"source":"shop"},"payload":{"text":"hello"}`)
	require.JSONEq(t, `{"text":"hello"}`, run("tail", "-t", tenant, "--from", "1", "--limit", "1", "-o", "payload"))
	require.Equal(t, tenant+" stopped\n", run("tenants", "stop", tenant))
	require.Contains(t, run("tenants", "get", tenant), "active, stopped\n")
	require.Contains(t, run("tenants", "start", tenant), tenant)
	require.Contains(t, run("me"), "the built-in admin of open mode")
	require.True(t, strings.HasPrefix(run("usage"), "DAY"))
	require.Equal(t, tenant+" deleted; 0 messages that were not stored are discarded\n", run("tenants", "delete", tenant, "--yes"))
	require.Equal(t, "ID  STATUS  WORKERS  NAME\n", run("tenants", "list"))
	require.Empty(t, run("tenants", "list", "-o", "json"))
}

// Endpoints and dead letters.
func TestEndpointsByCommand(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, func(c *config.Config) { c.Delivery.AllowPrivate = true })
	receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusOK))
	run := func(args ...string) string { return done(t, apptest.RunCommand(t, app.URL(), nil, args...)) }
	tenant := app.CreateTenant("tenant", 1).ID
	endpoints := func(args ...string) string {
		return run(append(append([]string{"endpoints"}, args...), "-t", tenant)...)
	}
	endpoint := strings.TrimSpace(endpoints("create", receiver.URL(), "--types", "order.*", "-o", "id"))
	require.Contains(t, endpoints("update", endpoint, "--rate", "7", "--types", ""), "rate         7\n")
	require.Contains(t, endpoints("list"), endpoint+"  active    0  "+receiver.URL())
	require.Contains(t, endpoints("hold", endpoint), "held")
	require.Contains(t, endpoints("resume", endpoint), "active")
	require.Regexp(t, `^whsec_\S+\n$`, endpoints("rotate-secret", endpoint, "--grace", "1h"))
	require.Contains(t, endpoints("test", endpoint), "status  200\n")
	require.Contains(t, endpoints("delete", endpoint, "--yes"), "deleted")

	app.Put(apptest.QueueName(tenant), "", "not JSON")
	app.Put(apptest.QueueName(tenant), "", "neither")
	letters := func(args ...string) string {
		return run(append(append([]string{"dead-letters"}, args...), "-t", tenant)...)
	}
	apptest.Await(t, apptest.Long, func() error {
		if n := strings.Count(letters("list", "-o", "id"), "\n"); n != 2 {
			return apptest.NotYet("%d letters", n)
		}
		return nil
	})
	ids := strings.Fields(letters("list", "-o", "id"))
	require.Contains(t, letters("show", ids[0]), "reason        invalid_payload\n")
	require.Equal(t, "1 replayed, 0 skipped\n", letters("replay", ids[0]))
	require.Equal(t, "1 deleted\n", letters("purge", ids[1], "--yes"))
}

// 10,000 lines from standard input are stored, once, also when that is done again.
func TestPublishLines(t *testing.T) {
	t.Parallel()
	const lines = 10_000
	app := apptest.Boot(t, unhurried)
	tenant := app.CreateTenant("tenant", 3).ID
	for range 2 {
		got := apptest.RunCommand(t, app.URL(), strings.NewReader(numberedLines(lines)), "publish", "-t", tenant, "--key-prefix", "import", "-")
		require.Regexp(t, `^10,000 accepted (\(.* or more of them before, with the same key\) )?in `, done(t, got))
	}
	app.Stored(tenant, lines)

	// Lines that are no messages are told, and keep no other from being published.
	file := filepath.Join(t.TempDir(), "lines.ndjson")
	require.NoError(t, os.WriteFile(file, []byte("{\"payload\":1,\"type\":\"a.b\"}\n\nnonsense\n{\"payload\":2,\"nonsense\":1}\n{\"type\":\"c\"}\n{\"payload\":3}"), 0o600))
	got := apptest.RunCommand(t, app.URL(), nil, "publish", "-t", tenant, "--envelope", "--file", file, "-o", "json")
	require.Equal(t, 1, got.Status)
	require.Contains(t, got.Out, `"accepted":2,"replayed":0,"refused":3,"open":0,`)
	require.Contains(t, got.Out, `"next_line":7}`)
	for _, says := range []string{"line 3: is no message", "line 4: is no message: json: unknown field", "line 5: ", "lanekeeper: refused: 3 of the lines"} {
		require.Contains(t, got.Err, says)
	}
	app.Stored(tenant, lines+2)
	require.Equal(t, 2, apptest.RunCommand(t, app.URL(), nil, "publish", "-t", tenant, "1", "--skip", "1").Status)
}

// Ctrl-C in a long publish says how many were accepted, and how to go on; who does so
// misses nothing and stores nothing twice.
func TestInterruptedPublish(t *testing.T) {
	t.Parallel()
	const lines = 6_000
	app := apptest.Boot(t, unhurried)
	tenant := app.CreateTenant("tenant", 3).ID
	input, feed, err := os.Pipe()
	require.NoError(t, err)
	command := apptest.StartCommand(t, app.URL(), input, nil, "publish", "-t", tenant, "-")
	require.NoError(t, input.Close())
	all := numberedLines(lines)
	half := strings.Index(all, fmt.Sprintf("{\"n\":%d}", lines/2))
	_, err = feed.WriteString(all[:half])
	require.NoError(t, err)
	app.Stored(tenant, lines/2-1)
	command.Signal(os.Interrupt)
	got := command.Wait()
	require.NoError(t, feed.Close())
	require.Equal(t, 1, got.Status)
	told := regexp.MustCompile(`lanekeeper: interrupted: (\S+) were accepted; go on with (--key-prefix) (\S+) (--skip) (\d+)\n`).FindStringSubmatch(got.Err)
	require.NotNil(t, told, got.Err)
	require.Equal(t, "2,999", told[1])
	require.Equal(t, "2999", told[5])

	rest := done(t, apptest.RunCommand(t, app.URL(), strings.NewReader(all), append([]string{"publish", "-t", tenant, "-"}, told[2:]...)...))
	require.True(t, strings.HasPrefix(rest, "3,001 accepted in"), rest)
	stored := make(map[string]bool)
	for _, m := range app.Stored(tenant, lines) {
		stored[string(m.Payload)] = true
	}
	require.Len(t, stored, lines)
}

// A tail goes on over a restart of the service, without a hole and without repetition,
// and says at its end how to go on.
func TestTailOverRestart(t *testing.T) {
	t.Parallel()
	const messages = 20
	app := apptest.Boot(t, unhurried)
	app.Stop()
	app.Config.AppPort = port(t, app) // the same after the restart
	app.Start()
	tenant := app.CreateTenant("tenant", 1).ID
	out, lines := io.Pipe()
	command := apptest.StartCommand(t, app.URL(), nil, lines, "tail", "-t", tenant, "--from", "1", "-o", "json")
	reader := bufio.NewScanner(out)
	publish := func(from, to int) {
		for n := from; n <= to; n++ {
			app.Publish(tenant, fmt.Sprint(n))
		}
		for n := from; n <= to; n++ {
			require.True(t, reader.Scan())
			require.Contains(t, reader.Text(), fmt.Sprintf(`"seq":%d,`, n))
		}
	}
	publish(1, messages/2)
	app.Restart()
	publish(messages/2+1, messages)
	command.Signal(os.Interrupt)
	got := command.Wait()
	require.Zero(t, got.Status)
	require.Contains(t, got.Err, "trying again\n")
	require.Contains(t, got.Err, "lanekeeper: go on with --from 21\n")
}

// Output that nobody reads ends a command as it ends others on Unix, without a word.
func TestClosedPipe(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, unhurried)
	tenant := app.CreateTenant("tenant", 3).ID
	done(t, apptest.RunCommand(t, app.URL(), strings.NewReader(numberedLines(5_000)), "publish", "-t", tenant, "-"))
	app.Stored(tenant, 5_000)
	read, write, err := os.Pipe()
	require.NoError(t, err)
	command := apptest.StartCommand(t, app.URL(), nil, write, "history", "-t", tenant, "--limit", "0", "-o", "json")
	require.NoError(t, write.Close())
	line, err := bufio.NewReaderSize(read, 1024).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, `"seq":1,`)
	require.NoError(t, read.Close())
	got := command.Wait()
	require.Equal(t, syscall.SIGPIPE, got.Signal)
	require.Empty(t, got.Err)
}

// On a terminal of 40 columns nothing is wider, ids are whole, long work shows a bar,
// and what would destroy is asked about; NO_COLOR keeps text plain.
func TestTerminal(t *testing.T) {
	t.Parallel()
	const columns = 40
	app := apptest.Boot(t, unhurried)
	tenant := app.CreateTenant("A tenant with a name that is longer than any terminal is wide", 1).ID
	app.Publish(tenant, `{"text":"`+strings.Repeat("long ", 50)+`"}`)
	app.Stored(tenant, 1)
	escapes := regexp.MustCompile(`\x1b\[[0-9;]*[a-zA-Z]`)
	for _, args := range [][]string{
		{"tenants", "list"},
		{"tenants", "get", tenant},
		{"history", "-t", tenant},
		{"me"},
		{"usage"},
		{"dead-letters", "list", "-t", tenant},
	} {
		got := apptest.OnTerminal(t, app.URL(), columns, "", nil, args...)
		require.Zero(t, got.Status, got.Out)
		for line := range strings.Lines(got.Out) {
			line = strings.TrimRight(escapes.ReplaceAllString(line, ""), "\r\n")
			if !strings.HasPrefix(line, "name  ") && !strings.HasPrefix(line, "  A tenant") {
				require.LessOrEqual(t, len([]rune(line)), columns, args)
			}
		}
		plain := apptest.OnTerminal(t, app.URL(), columns, "", []string{"NO_COLOR=1"}, args...)
		require.NotContains(t, plain.Out, "\x1b", args)
		require.Equal(t, escapes.ReplaceAllString(got.Out, ""), plain.Out, args)
	}
	list := apptest.OnTerminal(t, app.URL(), columns, "", nil, "tenants", "list")
	require.Contains(t, list.Out, tenant)
	require.Contains(t, list.Out, "\x1b[1m")

	refused := apptest.OnTerminal(t, app.URL(), columns, "n\n", nil, "tenants", "delete", tenant)
	require.Equal(t, 1, refused.Status)
	require.Contains(t, refused.Out, "[y/N]")
	require.Contains(t, refused.Out, "nothing was done")
	require.Equal(t, 2, apptest.RunCommand(t, app.URL(), nil, "tenants", "delete", tenant).Status, "nobody can be asked")

	file := filepath.Join(t.TempDir(), "lines.ndjson")
	require.NoError(t, os.WriteFile(file, []byte(numberedLines(40_000)), 0o600))
	published := apptest.OnTerminal(t, app.URL(), 80, "", nil, "publish", "-t", tenant, "--file", file)
	require.Zero(t, published.Status, published.Out)
	require.Regexp(t, `\r\[#+\.*\] +\d+ %  [0-9,]+ messages, [0-9,]+/s\x1b\[K`, published.Out)
	require.Contains(t, published.Out, "40,000 accepted in ")

	deleted := apptest.OnTerminal(t, app.URL(), columns, "y\n", nil, "tenants", "delete", tenant)
	require.Zero(t, deleted.Status, deleted.Out)
}

// What is wrong is one line: a server that is away, a key that is not valid or may not,
// a tenant that is not there.
func TestCommandsSayWhy(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret())
	app.AddUser("ada@example.com", "member", "")
	ada := app.LoggedIn("ada@example.com")
	tenant := ada.CreateTenant("tenant", 1).ID
	publisher := ada.CreateAPIKey(tenant, "publish").Key
	reader := ada.CreateAPIKey(tenant, "read").Key
	for says, args := range map[string][]string{
		"http://127.0.0.1:1 cannot be reached: connect: connection refused\n": {"tenants", "list", "--url", "http://127.0.0.1:1"},
		"token_missing: ":      {"tenants", "list"},
		"key_invalid: ":        {"tenants", "list", "--key", "lk_nonsense"},
		"scope_insufficient: ": {"tenants", "list", "--key", publisher},
		"tenant_not_found: ":   {"history", "-t", "01a2018a-37f9-71f2-a175-1348e3641bf0", "--key", reader},
		"scope_insufficient":   {"publish", "--key", reader, "1"},
	} {
		got := apptest.RunCommand(t, app.URL(), nil, args...)
		require.Equal(t, 1, got.Status, args)
		require.Empty(t, got.Out, args)
		require.Contains(t, got.Err, says, args)
		require.Equal(t, 1, strings.Count(got.Err, "\n"), got.Err)
	}
	lines := apptest.RunCommand(t, app.URL(), strings.NewReader(numberedLines(5_000)), "publish", "--key", reader, "-")
	require.Equal(t, 1, lines.Status)
	require.Contains(t, lines.Err, "scope_insufficient: ")
	require.Contains(t, lines.Err, ": 0 were accepted; go on with --key-prefix ")
	require.Equal(t, 1, strings.Count(lines.Err, "\n"), lines.Err)
	require.Regexp(t, `^\S{36} accepted\n$`, done(t, apptest.RunCommand(t, app.URL(), nil, "publish", "--key", publisher, "1")), "a key of a tenant needs none")
}
