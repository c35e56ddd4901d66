package devstack

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
)

// Control runs rabbitmqctl with args on the broker, which must be running, and
// returns what it prints.
func (mq *RabbitMQ) Control(ctx context.Context, args ...string) (string, error) {
	script, err := mq.rabbitmqctl()
	if err != nil {
		return "", err
	}
	var failure bytes.Buffer
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", script, "rabbitmqctl"}, args...)...) //nolint:gosec // RabbitMQ's own program
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("rabbitmqctl: %w: %s", err, bytes.TrimSpace(failure.Bytes()))
	}
	return string(out), nil
}
