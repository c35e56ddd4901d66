package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"

	"lanekeeper/pkg/server"
	"lanekeeper/tests/chaos/boot"
)

func main() { boot.Main("steps", decorate) }

func decorate(*slog.Logger) (server.Decorators, error) {
	var wanted map[string]string
	if err := json.Unmarshal([]byte(os.Getenv("CHAOS_STEPS")), &wanted); err != nil {
		return server.Decorators{}, fmt.Errorf("read CHAOS_STEPS: %w", err)
	}
	arrivals, err := os.OpenFile(os.Getenv("CHAOS_ARRIVALS"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return server.Decorators{}, fmt.Errorf("open CHAOS_ARRIVALS: %w", err)
	}
	return newSteps(wanted, arrivals).decorators(), nil
}
