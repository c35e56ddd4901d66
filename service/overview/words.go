package overview

import (
	"fmt"
	"strings"
	"time"

	"lanekeeper/pkg/digits"
)

// plural returns a number, as text, with its noun.
func plural(n int64, text, noun string) string {
	if n == 1 {
		return text + " " + noun
	}
	return text + " " + noun + "s"
}

// wait returns that so many messages wait.
func wait(n int64) string {
	if n == 1 {
		return "1 message waits"
	}
	return digits.Grouped(n) + " messages wait"
}

// andWait returns the same as the end of a sentence; "" when none waits.
func andWait(n int64) string {
	if n <= 0 {
		return ""
	}
	return "; " + wait(n)
}

// possessive returns whose something is.
func possessive(name string) string {
	if strings.HasSuffix(name, "s") {
		return name + "'"
	}
	return name + "'s"
}

// because returns a reason in brackets, without the full stop at its end; "" for none.
func because(reason string) string {
	if reason = strings.TrimSuffix(reason, "."); reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

// span returns a time as people say it: 45 s, 12 min, 3 h, 2 days.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(0, d); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 2*day:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d/day))
}
