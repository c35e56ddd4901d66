//go:build race

package apptest

// raceFlags make the program of the service like the tests themselves.
func raceFlags() []string { return []string{"-race"} }
