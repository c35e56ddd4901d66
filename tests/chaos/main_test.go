package main

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVersionOfBrokers(t *testing.T) {
	t.Parallel()
	for flag, ok := range map[string]bool{"": true, "4": true, "3": false, "4.0": false} {
		_, err := parse([]string{"-rabbitmq", flag}, io.Discard)
		if ok {
			require.NoError(t, err, flag)
		} else {
			require.ErrorIs(t, err, errUsage, flag)
		}
	}
}
