//go:build !race

package apptest

func raceFlags() []string { return nil }
