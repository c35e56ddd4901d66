package report

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// threeChosen returns the report, to a file, of a run of three scenarios.
func threeChosen(t *testing.T) *Report {
	t.Helper()
	return &Report{
		Head:   Head{Seed: 7, Out: filepath.Join(t.TempDir(), "page.md")},
		chosen: []Subject{{Name: "one", Fault: "first"}, {Name: "two", Fault: "second"}, {Name: "three", Bug: "bug"}},
	}
}

// written returns the page between its title and its first section, and what
// comes after that.
func written(t *testing.T, p *Report) (top, rest string) {
	t.Helper()
	text, err := os.ReadFile(p.Out)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(text), pageTitle))
	require.NotContains(t, string(text), "%!")
	top, rest, found := strings.Cut(strings.TrimPrefix(string(text), pageTitle), pageHead)
	require.True(t, found)
	return top, rest
}

// After each scenario the page says what has been run, and what has not.
func TestPageIsThereAfterEachScenario(t *testing.T) {
	t.Parallel()
	p := threeChosen(t)
	var out bytes.Buffer
	err := p.Fill(t.Context(), &out, func(_ context.Context, sc Subject) *Result {
		switch sc.Name {
		case "one":
			require.NoFileExists(t, p.Out)
		case "two":
			top, rest := written(t, p)
			require.Equal(t, "**This run had not ended when this was written. Not run: `two`, `three`.**\n\n", top)
			require.Contains(t, rest, "| one | first |")
			require.NotContains(t, rest, "| two | second |")
		case "three":
			top, rest := written(t, p)
			require.Equal(t, "**This run had not ended when this was written. Not run: `three`.**\n\n", top)
			require.Contains(t, rest, "- does not hold: it is broken\n")
		}
		r := &Result{Subject: sc}
		if sc.Name == "two" {
			r.Fail("it is broken")
		}
		if sc.Bug != "" {
			r.Fail("noticed this")
		}
		r.Seal(nil)
		return r
	})
	require.NoError(t, err)
	top, rest := written(t, p)
	require.Empty(t, top)
	require.Contains(t, rest, "| two | second |  | - | - | - | - | - | - | DOES NOT HOLD |\n")
	require.Contains(t, rest, "| bug |  | noticed this | noticed |\n")
	err = p.Err()
	require.ErrorIs(t, err, errBroken)
	require.ErrorContains(t, err, "two")
}

func TestPageOfAnInterruptedRun(t *testing.T) {
	t.Parallel()
	cause := errors.New("no time")
	for name, c := range map[string]struct {
		at            string // the scenario at the end of which it is interrupted
		within        bool   // rather before its end
		top, verdicts string
	}{
		"between two": {"one", false, "This run was interrupted (no time). Not run: `two`, `three`.", "holds"},
		"within one":  {"two", true, "This run was interrupted (no time), in `two`. Not run: `three`.", "holds interrupted"},
		"within one with a bug": {
			"three", true, "This run was interrupted (no time), in `three`.", "holds holds interrupted",
		},
		"after the last one": {"three", false, "", "holds holds noticed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, interrupt := context.WithCancelCause(t.Context())
			p := threeChosen(t)
			var out bytes.Buffer
			err := p.Fill(ctx, &out, func(ctx context.Context, sc Subject) *Result {
				r := &Result{Subject: sc}
				var err error
				if sc.Name == c.at {
					interrupt(cause)
					r.Interrupted = c.within
				}
				if r.Interrupted {
					err = ctx.Err()
				} else if sc.Bug != "" {
					r.Fail("noticed this")
				}
				r.Seal(err)
				return r
			})
			var verdicts []string
			for _, r := range p.Results {
				verdicts = append(verdicts, r.Verdict())
			}
			require.Equal(t, c.verdicts, strings.Join(verdicts, " "))
			require.NoError(t, p.Err(), "nothing is known to be broken")
			top, rest := written(t, p)
			var table bytes.Buffer
			p.Print(&table)
			if c.top == "" {
				require.NoError(t, err)
				require.Empty(t, top)
				return
			}
			require.ErrorIs(t, err, errInterrupted)
			require.ErrorIs(t, err, cause)
			require.Equal(t, "**"+c.top+"**\n\n", top)
			require.Contains(t, table.String(), c.top)
			require.Contains(t, rest, "| one | first |  | - | - | - | - | - | - | holds |\n")
			require.NotContains(t, rest, "DOES NOT HOLD")
			require.NotContains(t, rest, "noticed |")
			require.Equal(t, c.within, strings.Contains(out.String(), "! context canceled\n"))
			require.NotContains(t, out.String(), "did not notice")
			require.Equal(t, c.at == "two", strings.Contains(rest, "- interrupted: context canceled\n"))
		})
	}
}

// An interruption before anything has run leaves the page of another run alone.
func TestNoPageOfNothing(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	p := threeChosen(t)
	require.ErrorIs(t, p.Fill(ctx, &bytes.Buffer{}, nil), errInterrupted)
	require.NoFileExists(t, p.Out)
}

func TestPageThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	p := threeChosen(t)
	p.Out = filepath.Join(p.Out, "not", "there")
	err := p.Fill(t.Context(), &bytes.Buffer{}, func(_ context.Context, sc Subject) *Result { return &Result{Subject: sc} })
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Len(t, p.Results, len(p.chosen))
}
