package terminal

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const id = "01a2018a-37f9-71f2-a175-1348e3641bf0"

func printed(t *testing.T, columns int, rows ...[]string) string {
	t.Helper()
	var out bytes.Buffer
	table := NewTable(Screen{Writer: &out, Width: columns}, Column{Name: "ID"}, Column{Name: "WORKERS", Right: true}, Column{Name: "NAME", Cut: true})
	for _, row := range rows {
		table.Add(row...)
	}
	require.NoError(t, table.Flush())
	return out.String()
}

func TestTable(t *testing.T) {
	t.Parallel()
	row := []string{id, "3", "Shop of Mrs. Miller and her daughters"}
	require.Equal(t, "ID                                    WORKERS  NAME\n"+id+"        3  Shop of Mrs. Miller and her daughters\n", printed(t, 0, row), "no terminal")
	require.Equal(t, "ID                                    WORKERS  NAME\n"+id+"        3  Shop of Mrs.…\n", printed(t, 60, row))
	require.Equal(t, "ID       "+"\n  "+id+"\nWORKERS  3\nNAME     Shop of Mrs. Miller and her da…\n", strings.Replace(printed(t, 40, row), "ID\n", "ID       \n", 1))
	require.Equal(t, "ID  WORKERS  NAME\n", printed(t, 0), "nothing but the head")
	require.Equal(t, "ID  WORKERS  NAME\n1         -  -\n", printed(t, 0, []string{"1"}))
}

// Whatever the width, nothing but ids and names of columns is wider.
func TestEveryWidth(t *testing.T) {
	t.Parallel()
	for columnsThere := 1; columnsThere < 100; columnsThere++ {
		text := printed(t, columnsThere, []string{"12", "3", "日本語のとても長い名前はどこで切られるのか"}, []string{id, "100", "b\u0301"})
		require.Contains(t, text, id)
		for line := range strings.Lines(text) {
			line = strings.TrimRight(line, "\n")
			if columnsThere >= 38 {
				require.LessOrEqual(t, columns(line), columnsThere, text)
			}
		}
	}
}

// What others named cannot control a terminal.
func TestClean(t *testing.T) {
	t.Parallel()
	text := printed(t, 0, []string{"1", "3", "a\x1b[2Jb\u009bc\nd\u202ee\u2066"})
	require.Contains(t, text, `a\u001b[2Jb\u009bc\u000ad\u202ee\u2066`)
	require.Equal(t, "plain Ä 日本", Clean("plain Ä 日本"))
	var out bytes.Buffer
	require.NoError(t, Screen{Writer: &out, Styled: true}.Record(Field{"NAME", "\x1b]0;title\a"}, Field{"EMPTY", ""}))
	require.Equal(t, "\x1b[1mNAME\x1b[0m   \\u001b]0;title\\u0007\n\x1b[1mEMPTY\x1b[0m  -\n", out.String())
}

func TestCut(t *testing.T) {
	t.Parallel()
	require.Equal(t, "日…", Cut("日本語", 4))
	require.Equal(t, "日本語", Cut("日本語", 6))
	require.Empty(t, Cut("a long one", 0))
}

func TestProgress(t *testing.T) {
	t.Parallel()
	show := func(width int) string {
		var out bytes.Buffer
		synctest.Test(t, func(*testing.T) {
			p := NewProgress(&out, "messages")
			p.line.screen.Width = width
			for i := range int64(60) {
				<-time.After(100 * time.Millisecond) // time of its own
				p.Set((i+1)*1000, float64(i+1)/60)
			}
			p.Note("one is %s", "refused\x1b")
			p.End()
		})
		return out.String()
	}
	require.Equal(t, " 83 %  50,000 messages, 10,000/s\none is refused\\u001b\n", " "+show(0))
	bar := show(80)
	require.Contains(t, bar, "\r[################....]  83 %  50,000 messages, 10,000/s\x1b[K")
	require.True(t, strings.HasSuffix(bar, "\r\x1b[Kone is refused\\u001b\n"), bar)
	for line := range strings.SplitSeq(show(40), "\r") {
		require.LessOrEqual(t, len(line), 40+len("\x1b[K")+len("one is refused\\u001b\n"))
	}
}
