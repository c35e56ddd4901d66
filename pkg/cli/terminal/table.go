package terminal

import (
	"fmt"
	"strings"
)

const (
	gap = 2
	// least is how many columns one that may be cut keeps.
	least = 8
)

// Column is a column of a table.
type Column struct {
	Name string
	// Right is for numbers.
	Right bool
	// Cut is for text that says something when it is cut. Others, such as ids, are
	// always whole.
	Cut bool
}

// Table is a table in the making. It is not safe for concurrent use.
type Table struct {
	screen  Screen
	columns []Column
	rows    [][]string
}

// NewTable returns an empty table.
func NewTable(screen Screen, columns ...Column) *Table {
	return &Table{screen: screen, columns: columns}
}

// Add adds a row, with a cell for each column.
func (t *Table) Add(cells ...string) {
	row := make([]string, len(t.columns))
	for i := range row {
		if i < len(cells) {
			row[i] = Clean(cells[i])
		}
		if row[i] == "" {
			row[i] = "-"
		}
	}
	t.rows = append(t.rows, row)
}

// Flush writes the table: in columns that fit the screen, and where they do not, one
// cell after the other. A table without rows is its head.
func (t *Table) Flush() error {
	widths, fits := t.widths()
	var b strings.Builder
	if fits {
		t.writeColumns(&b, widths)
	} else {
		t.writeRecords(&b)
	}
	if _, err := t.screen.Write([]byte(b.String())); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// widths returns how wide each column is, and whether all fit the screen.
func (t *Table) widths() (widths []int, fits bool) {
	widths = make([]int, len(t.columns))
	total := gap * (len(t.columns) - 1)
	for i, c := range t.columns {
		widths[i] = columns(c.Name)
		for _, row := range t.rows {
			widths[i] = max(widths[i], columns(row[i]))
		}
		total += widths[i]
	}
	if t.screen.Width == 0 {
		return widths, true
	}
	for total > t.screen.Width {
		widest := -1
		for i, c := range t.columns {
			if c.Cut && widths[i] > max(least, columns(c.Name)) && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return nil, false
		}
		widths[widest]--
		total--
	}
	return widths, true
}

func (t *Table) writeColumns(b *strings.Builder, widths []int) {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.Name
	}
	b.WriteString(t.screen.Bold(t.line(names, widths)) + "\n")
	for _, row := range t.rows {
		b.WriteString(t.line(row, widths) + "\n")
	}
}

func (t *Table) line(cells []string, widths []int) string {
	var b strings.Builder
	for i, cell := range cells {
		cell = Cut(cell, widths[i])
		padding := strings.Repeat(" ", widths[i]-columns(cell))
		if t.columns[i].Right {
			b.WriteString(padding + cell)
		} else {
			b.WriteString(cell + padding)
		}
		b.WriteString(strings.Repeat(" ", gap))
	}
	return strings.TrimRight(b.String(), " ")
}

// writeRecords writes the rows one below the other.
func (t *Table) writeRecords(b *strings.Builder) {
	for i, row := range t.rows {
		if i > 0 {
			b.WriteByte('\n')
		}
		t.screen.record(b, t.columns, row)
	}
}

// record writes the cells of a row, each with its name.
func (s Screen) record(b *strings.Builder, names []Column, cells []string) {
	widest := 0
	for _, c := range names {
		widest = max(widest, columns(c.Name))
	}
	for i, cell := range cells {
		name := names[i].Name
		padding := strings.Repeat(" ", widest-columns(name)+gap)
		line := s.Bold(name) + padding
		if s.Width > 0 && widest+gap+columns(cell) > s.Width {
			if names[i].Cut {
				cell = Cut(cell, max(s.Width-widest-gap, 1))
			} else {
				line = s.Bold(name) + "\n  "
			}
		}
		b.WriteString(strings.TrimRight(line+cell, " ") + "\n")
	}
}

// Field is a line of what Record writes.
type Field struct{ Name, Value string }

// Record writes fields one below the other. On a terminal long values go on in the
// next line, and none is cut.
func (s Screen) Record(fields ...Field) error {
	names, cells := make([]Column, len(fields)), make([]string, len(fields))
	for i, f := range fields {
		names[i].Name, cells[i] = f.Name, Clean(f.Value)
		if cells[i] == "" {
			cells[i] = "-"
		}
	}
	var b strings.Builder
	s.record(&b, names, cells)
	if _, err := s.Write([]byte(b.String())); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// Bold returns text that stands out, where that can be shown.
func (s Screen) Bold(text string) string {
	if !s.Styled || text == "" {
		return text
	}
	return "\x1b[1m" + text + "\x1b[0m"
}
