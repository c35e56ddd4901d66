package domain_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestTypePatternMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, matches, others string
	}{
		{"order.created", "order.created", "order order.created.x order.Created orderxcreated"},
		{"order.*", "order.created order.item.added order..x", "order orders.created x.order.created"},
		{"*", "order order.created a.b.c", ""},
		{"*.done", "a.done a.b.done done.done", "done done.a a.done.b"},
		{"order.*.done", "order.x.done order.x.y.done order.done.done", "order.done order.x.y"},
		{"*.*", "a.b a.b.c", "a"},
		{"a.*.b.*.c", "a.x.b.y.c a.b.b.b.c a.x.y.b.z.c", "a.b.c a.x.b.c a.b.x.c"},
	} {
		p, problem := domain.ParseTypePattern(c.pattern)
		require.Empty(t, problem, c.pattern)
		for text := range strings.FieldsSeq(c.matches) {
			require.True(t, p.Matches(text), "%s: %s", c.pattern, text)
		}
		for text := range strings.FieldsSeq(c.others) {
			require.False(t, p.Matches(text), "%s: %s", c.pattern, text)
		}
		require.False(t, p.Matches(""), "a message without a type")
	}
	p, _ := domain.ParseTypePattern("with.*")
	require.True(t, p.Matches("with.a b"), "types that came by AMQP may have any characters")
}

func TestTypePatternMalformed(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", ".", "a.", ".a", "a..b", "or*", "*a", "**", "a b", "ä", "a/b", strings.Repeat("a", 129)} {
		_, problem := domain.ParseTypePattern(text)
		require.NotEmpty(t, problem, "%q", text)
	}
}

// Many stars take no longer than few.
func TestTypePatternIsNotSlow(t *testing.T) {
	t.Parallel()
	p := domain.TypePattern(strings.TrimSuffix(strings.Repeat("*.a.", 30), "."))
	require.False(t, p.Matches(strings.Repeat("a.", 5000)+"b"))
}

func TestWants(t *testing.T) {
	t.Parallel()
	all := domain.Endpoint{}
	require.True(t, all.Wants(""))
	some := domain.Endpoint{Types: []domain.TypePattern{"order.*", "invoice.paid"}}
	require.True(t, some.Wants("invoice.paid"))
	require.True(t, some.Wants("order.x"))
	require.False(t, some.Wants(""))
	require.False(t, some.Wants("invoice"))
}
