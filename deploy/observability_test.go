package deploy_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"
)

// rule is a rule of Prometheus.
type rule struct {
	Alert, Record, Expr, For string
	Labels, Annotations      map[string]string
}

// rules returns the rules of a file.
func rules(t *testing.T, file string) (all []rule) {
	t.Helper()
	v := viper.New()
	v.SetConfigFile(filepath.Join("prometheus", file))
	require.NoError(t, v.ReadInConfig())
	var groups []struct{ Rules []rule }
	require.NoError(t, v.UnmarshalKey("groups", &groups))
	for _, g := range groups {
		all = append(all, g.Rules...)
	}
	require.NotEmpty(t, all)
	return all
}

// dashboard returns the expressions of all panels, by what they are called.
func dashboard(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("grafana/dashboards/lanekeeper.json")
	require.NoError(t, err)
	var d struct {
		Panels []struct {
			ID          int
			Type, Title string
			Targets     []struct{ RefID, Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &d))
	found := make(map[string]string)
	var ids []int
	for _, p := range d.Panels {
		require.NotContains(t, ids, p.ID)
		ids = append(ids, p.ID)
		require.Equal(t, p.Type == "row", len(p.Targets) == 0, p.Title)
		for _, target := range p.Targets {
			found["panel "+p.Title+" "+target.RefID] = target.Expr
		}
	}
	require.NotEmpty(t, found)
	return found
}

// measured returns what text the sources of the metrics have, which names of metrics
// are part of.
func measured(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("../pkg/metrics/*.go")
	require.NoError(t, err)
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				text, err := strconv.Unquote(literal.Value)
				require.NoError(t, err)
				names = append(names, strings.TrimPrefix(text, "_"))
			}
			return true
		})
	}
	return names
}

// Rules and dashboard use nothing but metrics that there are, and what rules record.
func TestRulesUseWhatIsMeasured(t *testing.T) {
	t.Parallel()
	used, recorded := dashboard(t), make(map[string]bool)
	for _, file := range []string{"rules.yml", "alerts.yml"} {
		for _, r := range rules(t, file) {
			used[r.Record+r.Alert] = r.Expr
			if r.Record != "" {
				require.False(t, recorded[r.Record], r.Record)
				recorded[r.Record] = true
			}
		}
	}
	names := measured(t)
	metric := regexp.MustCompile(`[a-z:]*lanekeeper[a-z0-9_:]*`)
	for name, expression := range used {
		for _, found := range metric.FindAllString(strings.ReplaceAll(expression, `"lanekeeper"`, ""), -1) {
			if strings.Contains(found, ":") {
				require.True(t, recorded[found], "%s: nothing records %s", name, found)
				continue
			}
			plain := strings.TrimPrefix(found, "lanekeeper_")
			for _, part := range []string{"_bucket", "_count", "_sum"} {
				plain = strings.TrimSuffix(plain, part)
			}
			require.Contains(t, names, plain, "%s: there is no metric %s", name, found)
		}
	}
}

// Each alert is urgent or not, says what happened, is tried in alerts_test.yml, and has
// a section in the runbooks, which have no others.
func TestAlertsHaveRunbooks(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/runbooks.md")
	require.NoError(t, err)
	tried, err := os.ReadFile("prometheus/alerts_test.yml")
	require.NoError(t, err)
	var sections, alerts []string
	for _, match := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(string(page), -1) {
		sections = append(sections, match[1])
	}
	for _, r := range rules(t, "alerts.yml") {
		alerts = append(alerts, r.Alert)
		require.Contains(t, []string{"critical", "warning"}, r.Labels["severity"], r.Alert)
		require.NotEmpty(t, r.Annotations["summary"], r.Alert)
		require.NotEmpty(t, r.Annotations["description"], r.Alert)
		require.Equal(t, "docs/runbooks.md#"+strings.ToLower(r.Alert), r.Annotations["runbook_url"])
		require.Contains(t, string(tried), `alertname="`+r.Alert+`"`)
	}
	require.ElementsMatch(t, alerts, sections)
	require.Equal(t, slices.Compact(slices.Clone(alerts)), alerts)
}
