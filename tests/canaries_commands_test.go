package tests

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/pkg/cli"
	"lanekeeper/tests/apptest"
)

// commandLimit is for one command: one that waits for a server has said by then for what.
const commandLimit = 1500 * time.Millisecond

// runCommand does what the program does with a configuration file and arguments, and
// returns all that it prints.
func runCommand(t *testing.T, file string, args ...string) string {
	t.Helper()
	if args[0] == "serve" { // which its libraries know of, too
		return runProgram(t, file)
	}
	var said apptest.LockedBuffer // what a command leaves behind may log on
	ctx, cancel := context.WithTimeout(t.Context(), commandLimit)
	defer cancel()
	read := func(path string) (config.Config, error) {
		c, err := config.Read(path)
		fmt.Fprintf(&said, "%v %+v %#v %s", c, &c, c, c.LogValue())
		c.Log.Level = "debug"
		return c, err
	}
	status := cli.Main(ctx, cli.Options{In: strings.NewReader(""), Out: &said, Err: &said, Read: read}, append([]string{"--config", file}, args...))
	return fmt.Sprintf("%s\n%d", said.String(), status)
}

// runProgram starts the service as it is started by people, for a moment, and returns
// all that it prints.
func runProgram(t *testing.T, file string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, apptest.Program(t), "--config", file)
	cmd.Env = append(os.Environ(), "LOG_LEVEL=debug")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	text, err := cmd.CombinedOutput()
	return fmt.Sprintf("%s\n%v", text, err)
}

// commands are all that the program can be told to do, but those that print what they
// make.
func commands() [][]string {
	return [][]string{
		{"serve"},
		{"version"},
		{"migrate", "status"},
		{"doctor"},
		{"audit"},
		{"key", "list", "--database"},
		{"encrypt"},
		{"healthcheck"},
		{"token", "--email", "nobody@example.com"},
		{"user", "add", "--email", "not an address"},
		{"nonsense"},
	}
}

// brokenSettings returns settings that do not work, in each of which one that has a
// canary is broken in one way, by what is broken.
func brokenSettings(t *testing.T, c *canaries, planted map[string]string) map[string]map[string]string {
	t.Helper()
	broken := make(map[string]map[string]string)
	set := func(name, how, value string) {
		changed := maps.Clone(planted)
		changed[name] = value
		broken[name+" "+how] = changed
	}
	for _, name := range secretSettings(t) {
		value := planted[name]
		text, err := strconv.Unquote(value)
		if err != nil { // a list
			text = strings.Trim(strings.Split(value, ",")[0], `[]" `)
			set(name, "as text", strconv.Quote(text))
			set(name, "with one that is too short", `["`+c.fresh(name)[:20]+`"]`)
			continue
		}
		set(name, "as a list", "["+value+"]")
		set(name, "as a group", "{"+text[:min(len(text), 4)]+": "+value+"}")
		u, err := url.Parse(text)
		if err != nil || u.Host == "" {
			set(name, "too short", strconv.Quote(text[:31]))
			c.note(name, text[:31])
			continue
		}
		password := c.fresh(name + ", broken")
		with := func(how, format string) { set(name, how, strconv.Quote(fmt.Sprintf(format, password))) }
		with("without a scheme", "//user:%s@127.0.0.1/x")
		with("with another scheme", "gopher://user:%s@127.0.0.1/x")
		with("that is only the password", "%s")
		with("that cannot be read", u.Scheme+"://user:%s%%zz@127.0.0.1/x")
		with("with an end in the password", u.Scheme+"://user:a#%s@127.0.0.1/x")
		with("with a slash in the password", u.Scheme+"://user:1/%s@127.0.0.1/x")
		with("with a port that there is not", u.Scheme+"://user:%s@127.0.0.1:99999/x")
		with("with two hosts", u.Scheme+"://user:%s@127.0.0.1,"+u.Scheme+"://other:%[1]s@127.0.0.1:x/")
		with("whose server is away", u.Scheme+"://user:%s@127.0.0.1:1/x")
		with("whose user is not there", u.Scheme+"://nobody:%s@"+u.Host+u.Path)
		with("with parameters", u.Scheme+"://user:%s@"+u.Host+u.Path+"?password=%[1]s&sslpassword=%[1]s&nonsense=1")
	}
	key := c.fresh("tls.key_file")
	files := t.TempDir()
	for name, content := range map[string]string{"key.pem": "-----BEGIN PRIVATE KEY-----\n" + key + "\n-----END PRIVATE KEY-----\n", "cert.pem": "no certificate"} {
		require.NoError(t, os.WriteFile(files+"/"+name, []byte(content), 0o600))
	}
	broken["tls files"] = maps.Clone(planted)
	broken["tls files"]["tls.key_file"], broken["tls files"]["tls.cert_file"] = strconv.Quote(files+"/key.pem"), strconv.Quote(files+"/cert.pem")
	broken["an unknown key"] = maps.Clone(planted)
	broken["an unknown key"]["jwt_secert"] = planted["jwt_secret"]
	return broken
}

// No command tells a secret of the configuration: not when it works, and not when it
// says what is wrong.
func TestCommandsTellNoSecrets(t *testing.T) {
	t.Parallel()
	c := newCanaries()
	planted := plantedSettings(t, c)
	maps.Copy(planted, map[string]string{"app_host": `"127.0.0.1"`, "app_port": "0", "admin_port": "0", "data_dir": strconv.Quote(t.TempDir())})
	run := func(what, file string) {
		for _, args := range commands() {
			c.look("commands: "+strings.Join(args, " ")+" with "+what, runCommand(t, file, args...))
		}
	}
	run("what works, before there is a schema", writeSettings(t, planted))
	require.Contains(t, runCommand(t, writeSettings(t, planted), "migrate", "status"), "00027_amqp_credentials.sql")
	run("what works", writeSettings(t, planted))
	var running sync.WaitGroup
	turns := make(chan struct{}, 4)
	for what, settings := range brokenSettings(t, c, planted) {
		file := writeSettings(t, settings)
		running.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			run(what, file)
		})
	}
	running.Wait()
	c.none(t)
}
