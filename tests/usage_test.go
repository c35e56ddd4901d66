package tests

import (
	"encoding/csv"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

type usagePage struct {
	Data []struct {
		TenantID string `json:"tenant_id"`
		Day      string
		Messages int
		Bytes    int
	}
	NextCursor string `json:"next_cursor"`
}

// What was stored is in the usage at once for its owner, page by page and as CSV, and
// still when the tenant is deleted.
func TestUsage(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret())
	for email, role := range map[string]string{"root@example.com": "admin", "ada@example.com": "member", "bob@example.com": "member"} {
		app.AddUser(email, role, "")
	}
	root, ada, bob := app.LoggedIn("root@example.com"), app.LoggedIn("ada@example.com"), app.LoggedIn("bob@example.com")
	first, second, ofBob := ada.CreateTenant("first", 1).ID, ada.CreateTenant("second", 1).ID, bob.CreateTenant("of Bob", 1).ID
	ada.PublishAll(first, []string{`"1234"`, `[1]`, `{"a":1}`})
	ada.Publish(second, `"12"`)
	bob.Publish(ofBob, `"secret of Bob"`)
	ada.Stored(first, 3)
	bytes := len(`"1234"`) + len(`[1]`) + len(`{"a": 1}`)
	ada.Stored(second, 1)
	bob.Stored(ofBob, 1)

	usage := func(c *apptest.Client, query string) usagePage {
		var page usagePage
		c.Want(http.StatusOK, &page, "GET", "/usage"+query, nil)
		return page
	}
	mine := usage(ada, "")
	require.Len(t, mine.Data, 2)
	require.Equal(t, first, mine.Data[0].TenantID)
	require.Equal(t, 3, mine.Data[0].Messages)
	require.Equal(t, bytes, mine.Data[0].Bytes)
	require.Equal(t, 1, mine.Data[1].Messages)
	page := usage(ada, "?limit=1")
	require.Equal(t, mine.Data[:1], page.Data)
	page = usage(ada, "?limit=1&cursor="+page.NextCursor)
	require.Equal(t, mine.Data[1:], page.Data)
	require.Empty(t, page.NextCursor)
	require.Len(t, usage(ada, "?tenant_id="+second).Data, 1)
	require.Len(t, usage(root, "?tenant_id="+ofBob).Data, 1)
	require.Empty(t, usage(ada, "?from=2020-01-01&to=2020-12-31").Data)
	ada.Refused(http.StatusNotFound, "tenant_not_found", "GET", "/usage?tenant_id="+ofBob, nil)
	for _, query := range []string{"from=x", "to=2026-13-01", "cursor=x", "cursor=2026-01-01_x", "limit=0", "format=xml", "tenant_id=x", "from=0000-01-01"} {
		require.Equal(t, http.StatusBadRequest, ada.Call("GET", "/usage?"+query, nil).Status, query)
	}
	ada.Refused(http.StatusUnprocessableEntity, "invalid_fields", "GET", "/usage?from=2026-01-02&to=2026-01-01", nil)
	ada.Refused(http.StatusUnprocessableEntity, "invalid_fields", "GET", "/usage?from=2025-01-01&to=2026-02-01", nil)

	ada.Publish(first, `"one more"`)
	ada.Stored(first, 4)
	ada.Delete(first)
	answer := ada.Call("GET", "/usage?format=csv&limit=1", nil)
	require.Equal(t, http.StatusOK, answer.Status)
	require.True(t, strings.HasPrefix(answer.Header.Get("Content-Type"), "text/csv"))
	require.NotEmpty(t, answer.Header.Get("Lanekeeper-Next-Cursor"))
	rows, err := csv.NewReader(strings.NewReader(string(answer.Body))).ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{"tenant_id", "day", "messages", "bytes"}, rows[0])
	require.Equal(t, []string{first, mine.Data[0].Day, "4"}, rows[1][:3], "also what was not counted before it was deleted")
}
