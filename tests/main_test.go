// Package tests runs the whole service against real servers, one file for each
// thing it can do.
package tests

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"lanekeeper/tests/apptest"
)

// atATime is how many tests run at a time unless -parallel says otherwise: they
// wait for servers more than they compute.
const atATime = "6"

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", atATime); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := apptest.Cleanup(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}))
}
