package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// figure is one number of a table.
type figure struct {
	// name is the heading of the table, the row and the column.
	name  string
	value float64
	text  string // as it was printed
}

// number is what a cell with a figure begins with; the rest is its unit, or how far
// rounds lay apart.
var number = regexp.MustCompile(`^([0-9][0-9,]*(?:\.[0-9]+)?)(?: ?(µs|ms|s|KiB|MiB|GiB)\b)?`)

// figures returns the numbers of all tables of a text in Markdown, in their order. A
// row is named by its first cell and by those after it that are no numbers.
func figures(text string) []figure {
	var found []figure
	heading := "Throughput" // bench begins with it, without a heading
	var header []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case !strings.HasPrefix(line, "|"):
			heading, header = strings.TrimRight(strings.TrimLeft(line, "# "), ":."), nil
		case strings.Trim(line, "|:- ") == "":
		case header == nil:
			header = columns(cells(line))
		default:
			found = append(found, row(heading, header, cells(line))...)
		}
	}
	return found
}

func cells(line string) []string {
	parts := strings.Split(strings.Trim(line, "|"), "|")
	for i := range parts {
		parts[i] = strings.ReplaceAll(strings.TrimSpace(parts[i]), "**", "")
	}
	return parts
}

// columns names columns of the same name by the one before, too.
func columns(header []string) []string {
	names := slices.Clone(header)
	for i := range header {
		if i > 0 && slices.Index(header, header[i]) != i || slices.Contains(header[i+1:], header[i]) {
			names[i] = header[max(0, i-1)] + " " + header[i]
		}
	}
	return names
}

func row(heading string, header, line []string) []figure {
	label := []string{heading, line[0]}
	var found []figure
	for i := 1; i < len(line) && i < len(header); i++ {
		m := number.FindStringSubmatch(line[i])
		switch {
		case m == nil && len(found) == 0 && line[i] != "-":
			label = append(label, line[i])
			continue
		case m == nil:
			continue
		}
		value, err := strconv.ParseFloat(strings.ReplaceAll(m[1], ",", ""), 64)
		if err != nil {
			continue
		}
		found = append(found, figure{strings.Join(label, ", ") + ": " + header[i], value * unit(m[2]), line[i]})
	}
	return found
}

// unit returns what a unit of time or size is in seconds or bytes.
func unit(name string) float64 {
	switch name {
	case "µs":
		return 1e-6
	case "ms":
		return 1e-3
	case "KiB":
		return 1 << 10
	case "MiB":
		return 1 << 20
	case "GiB":
		return 1 << 30
	}
	return 1
}

// pair is what both printed in a round.
type pair struct{ before, now []figure }

// table says of each figure that both have in all rounds what it was, by the medians,
// and the ratio of now to before: the median of the rounds, the lowest and the highest.
func table(pairs []pair) string {
	var b strings.Builder
	b.WriteString("| Figure | Before | Now | Ratio | Lowest, highest |\n|:--|--:|--:|--:|--:|\n")
	for _, f := range pairs[0].before {
		var before, now []figure
		var ratios []float64
		for _, p := range pairs {
			x, inBefore := find(p.before, f.name)
			y, inNow := find(p.now, f.name)
			if !inBefore || !inNow || x.value == 0 {
				break
			}
			before, now = append(before, x), append(now, y)
			ratios = append(ratios, y.value/x.value)
		}
		if len(ratios) < len(pairs) {
			continue
		}
		slices.Sort(ratios)
		fmt.Fprintf(&b, "| %s | %s | %s | %.3f | %.2f, %.2f |\n", f.name, median(before), median(now),
			ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1])
	}
	return b.String()
}

func find(figures []figure, name string) (figure, bool) {
	i := slices.IndexFunc(figures, func(f figure) bool { return f.name == name })
	if i < 0 {
		return figure{}, false
	}
	return figures[i], true
}

// median returns the figure in the middle as it was printed.
func median(figures []figure) string {
	slices.SortFunc(figures, func(a, b figure) int {
		switch {
		case a.value < b.value:
			return -1
		case a.value > b.value:
			return 1
		}
		return 0
	})
	return figures[len(figures)/2].text
}
