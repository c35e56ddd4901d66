package jsonb_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/pkg/jsonb"
)

// TestPostgres checks promise 4 against a real server: what Check accepts can
// be stored as jsonb and read back, and means the same.
func TestPostgres(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	rapid.Check(t, func(t *rapid.T) {
		text := genText().Draw(t, "text")
		if jsonb.Check([]byte(text)) != nil {
			t.Skip("refused")
		}
		back, err := roundTrip(conn, text)
		if err != nil {
			t.Fatalf("accepted, but: %v", err)
		}
		if !sameJSON(text, back) {
			t.Fatalf("came back as %q", back)
		}
		if len(back) > 2*len(text)+jsonb.MaxGrowth {
			t.Fatalf("%d bytes came back as %d", len(text), len(back))
		}
	})
}

// TestPostgresAtTheLimits stores the largest and the oddest of what Check
// accepts.
func TestPostgresAtTheLimits(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	half := jsonb.MaxSize / 2
	for name, text := range map[string]string{
		"deepest arrays":    strings.Repeat("[", 128) + strings.Repeat("]", 128),
		"deepest objects":   strings.Repeat(`{"a":`, 127) + "{}" + strings.Repeat("}", 127),
		"largest number":    strings.Repeat("9", 1000),
		"finest number":     "-0." + strings.Repeat("9", 999),
		"largest exponent":  "9e999",
		"smallest exponent": "9e-999",
		"zero to the 999":   "[0e999,0e-999,0.0e-998,-0e999]",
		"made up":           "0." + strings.Repeat("0", 30_000) + "1e30001",
		"most growth":       "[" + strings.Repeat("1e999,", 1050) + "0]",
		"most elements":     "[" + strings.Repeat("1,", half-2) + "1]",
		"most pairs":        "{" + pairs(80_000) + "}",
		"longest string":    `"` + strings.Repeat("x", jsonb.MaxSize-2) + `"`,
		"longest key":       `{"` + strings.Repeat("k", jsonb.MaxSize-6) + `":1}`,
		"control escapes":   `"` + strings.Repeat(`\u0001`, 100_000) + `"`,
		"noncharacters":     `"\uffff\ufffe\ud83f\udfff\udbff\udfff` + "\u007f\u0080" + `"`,
	} {
		require.NoError(t, jsonb.Check([]byte(text)), name)
		back, err := roundTrip(conn, text)
		require.NoError(t, err, name)
		require.True(t, sameJSON(text, back), name)
	}
}

func connect(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), devtest.Postgres(t))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	_, err = conn.Exec(t.Context(), `CREATE TEMPORARY TABLE kept (payload jsonb)`)
	require.NoError(t, err)
	return conn
}

func roundTrip(conn *pgx.Conn, text string) (back string, err error) {
	const query = `INSERT INTO kept (payload) VALUES ($1::text::jsonb) RETURNING payload::text`
	err = conn.QueryRow(context.Background(), query, text).Scan(&back)
	return back, err
}

// sameJSON reports whether two texts are the same value, numbers compared
// exactly.
func sameJSON(a, b string) bool {
	return reflect.DeepEqual(decode(a), decode(b))
}

func decode(text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return err
	}
	return exact(v)
}

// exact replaces the numbers in v by a text that is the same for equal
// numbers.
func exact(v any) any {
	switch v := v.(type) {
	case json.Number:
		if text := v.String(); text != "-0" && !strings.ContainsAny(text, ".eE") {
			return text // a whole number is written in one way only
		}
		r, ok := new(big.Rat).SetString(v.String())
		if !ok {
			return fmt.Errorf("not a number: %s", v)
		}
		return r.RatString()
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = exact(v[k])
		}
	}
	return v
}

func pairs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%d":0,`, i)
	}
	return b.String() + `"last":0`
}

// genText makes JSON texts, many of them near the edge of what is accepted.
func genText() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string { return genValue(4).Draw(t, "value") })
}

func genValue(depth int) *rapid.Generator[string] {
	leaves := []*rapid.Generator[string]{
		rapid.SampledFrom([]string{"null", "true", "false", "0", "-0", `""`, "[]", "{}"}),
		rapid.Custom(genNumber), rapid.Custom(genString),
	}
	if depth == 0 {
		return rapid.OneOf(leaves...)
	}
	inner := rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[string] { return genValue(depth - 1) }), 0, 4)
	array := rapid.Custom(func(t *rapid.T) string { return "[" + strings.Join(inner.Draw(t, "items"), " , ") + "]" })
	object := rapid.Custom(func(t *rapid.T) string {
		var members []string
		for _, v := range inner.Draw(t, "values") {
			members = append(members, genString(t)+" : "+v)
		}
		return "{" + strings.Join(members, ",\n") + "}"
	})
	return rapid.OneOf(append(leaves, array, object)...)
}

func genNumber(t *rapid.T) string {
	text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?`).Draw(t, "number")
	if rapid.Bool().Draw(t, "has exponent") {
		exponent := rapid.OneOf(rapid.IntRange(-1010, 1010), rapid.IntRange(-200_000, 200_000), rapid.Int()).Draw(t, "exponent")
		text += fmt.Sprintf("e%d", exponent)
	}
	return text
}

func genString(t *rapid.T) string {
	part := rapid.OneOf(
		rapid.SampledFrom([]string{`\u0000`, `\u0001`, `\ud800`, `\udfff`, `\\u0000`, "\x7f"}),
		rapid.Map(rapid.String(), func(s string) string {
			quoted, _ := json.Marshal(s)
			return string(quoted[1 : len(quoted)-1])
		}),
		rapid.StringMatching(`\\u[0-9a-fA-F]{4}`),
		rapid.StringMatching(`\\u[dD][89abAB][0-9a-f]{2}\\u[dD][c-fC-F][0-9a-f]{2}`),
		rapid.StringMatching(`[^\x00-\x1f"\\]{0,5}`),
	)
	return `"` + strings.Join(rapid.SliceOfN(part, 0, 3).Draw(t, "parts"), "") + `"`
}
