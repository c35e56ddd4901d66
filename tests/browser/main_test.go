//go:build browser

package browser

import (
	"fmt"
	"os"
	"testing"

	"lanekeeper/tests/apptest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := apptest.Cleanup(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
