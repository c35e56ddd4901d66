package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"
)

// bareCommand has this program be the bare handler: it writes its address to the
// standard output and serves until it is killed.
const bareCommand = "bare-handler"

// bareHandler is a process of its own that does the least there is to do about a
// publication over HTTP with the same framework: it reads the body and answers 202.
type bareHandler struct {
	cmd *exec.Cmd
	at  string
}

// startBareHandler runs this program once more.
func startBareHandler(ctx context.Context) (*bareHandler, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, program, bareCommand) //nolint:gosec // this program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the bare handler: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the bare handler: %w", err)
	}
	h := &bareHandler{cmd: cmd}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		h.stop()
		return nil, fmt.Errorf("start the bare handler: %w", err)
	}
	h.at = strings.TrimSpace(line)
	return h, nil
}

func (h *bareHandler) stop() {
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait() // says that it was killed
}

// serveBare is what the process does.
func serveBare(ctx context.Context, stdout io.Writer) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.POST("/api/messages", func(c *gin.Context) {
		if _, err := io.Copy(io.Discard, c.Request.Body); err != nil {
			c.Status(http.StatusBadRequest)
			return
		}
		c.JSON(http.StatusAccepted, gin.H{"status": "accepted"})
	})
	fmt.Fprintln(stdout, listener.Addr())
	server := &http.Server{Handler: engine, ReadHeaderTimeout: callTimeout}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// measureBare measures publications to the bare handler, over as many connections as single
// ones.
func measureBare(ctx context.Context, b *bench) (s sample, err error) {
	h, err := startBareHandler(ctx)
	if err != nil {
		return s, err
	}
	defer h.stop()
	before, start := readPrograms(), time.Now()
	if err := keepCalling(ctx, h.at, publication{messages: b.options.singles, perCall: 1, connections: b.options.connections}, func(int) string {
		return b.tenants.ids[0]
	}, func(int) {}); err != nil {
		return s, err
	}
	elapsed := time.Since(start)
	spent := readPrograms().since(before, h.cmd.Process.Pid, b.servers.private())
	return sample{messages: b.options.singles, rate: float64(b.options.singles) / elapsed.Seconds(), cpu: spent}, nil
}
