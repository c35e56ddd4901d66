package env

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"lanekeeper/pkg/devstack"
	"lanekeeper/tests/chaos/wait"
)

const (
	// shippedNginx is the configuration that is tried, in the repository that this is
	// run in.
	shippedNginx = "deploy/nginx/fleet.conf"
	nginxLimit   = 10 * time.Second
)

// mainNginx has what the shipped configuration is put into: one process, which keeps
// all that it writes in a directory, and calls from an address of its own.
const mainNginx = `daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path %[1]s/body;
    proxy_temp_path %[1]s/proxy;
    fastcgi_temp_path %[1]s/fastcgi;
    uwsgi_temp_path %[1]s/uwsgi;
    scgi_temp_path %[1]s/scgi;
    proxy_bind %[2]s;
    include %[1]s/shipped.conf;
}
`

var errNginx = errors.New("nginx cannot be used")

// StartNginx starts nginx with the shipped configuration before the service, which it
// calls from an address of this machine, and returns its URL. It runs until stop is
// called.
func StartNginx(ctx context.Context, e *Env, from string) (url string, stop func(), err error) {
	program, err := nginxProgram()
	if err != nil {
		return "", nil, err
	}
	ports, err := devstack.FreePorts(1)
	if err != nil {
		return "", nil, fmt.Errorf("find a port: %w", err)
	}
	home, err := filepath.Abs(filepath.Join(e.Dir, "nginx"))
	if err != nil {
		return "", nil, fmt.Errorf("make a directory: %w", err)
	}
	p := &process{
		Program: program, Arguments: []string{"-e", "stderr", "-p", home, "-c", filepath.Join(home, "nginx.conf")},
		Environment: PlainEnvironment(home), LogFile: filepath.Join(e.Dir, "nginx.log"),
	}
	listen := p.address(ports[0])
	if err := configureNginx(home, from, listen, p.address(e.Service.Port)); err != nil {
		return "", nil, err
	}
	if err := p.Launch(); err != nil {
		return "", nil, err
	}
	err = wait.Until(ctx, nginxLimit, "nginx listens", func() error {
		select {
		case <-p.ended:
			return fmt.Errorf("nginx: %w: %w", wait.ErrEnded, p.err)
		default:
		}
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", listen)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		return conn.Close()
	})
	if err != nil {
		p.Kill()
		return "", nil, err
	}
	return "http://" + listen, p.Kill, nil
}

func nginxProgram() (string, error) {
	if program, err := exec.LookPath("nginx"); err == nil {
		return program, nil
	}
	const place = "/usr/sbin/nginx" // which is not on everybody's path
	if _, err := os.Stat(place); err != nil {
		return "", fmt.Errorf("%w: not installed; run: scripts/install-servers.sh nginx-light", errNginx)
	}
	return place, nil
}

// configureNginx writes the shipped configuration for this port and this one replica.
func configureNginx(home, from, listen, service string) error {
	text, err := os.ReadFile(shippedNginx)
	if err != nil {
		return fmt.Errorf("%w: %w", errNginx, err)
	}
	shipped := string(text)
	for _, place := range []struct{ old, new string }{
		{"server app:8080 ", "server " + service + " "},
		{"server replica:8080 ", "server " + service + " backup "},
		{"listen 80;", "listen " + listen + ";"},
	} {
		if strings.Count(shipped, place.old) != 1 {
			return fmt.Errorf("%w: %s does not have %s once", errNginx, shippedNginx, strconv.Quote(place.old))
		}
		shipped = strings.Replace(shipped, place.old, place.new, 1)
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	for name, content := range map[string]string{"shipped.conf": shipped, "nginx.conf": fmt.Sprintf(mainNginx, home, from)} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("configure nginx: %w", err)
		}
	}
	return nil
}
