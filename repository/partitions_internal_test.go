package repository

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A table is a tenant's partition when it has its name to the letter, and whatever
// its name, nothing in it gets into SQL.
func FuzzPartitionName(f *testing.F) {
	const id = "0197a3a2_7d2c_7c3e_8f7e_0242ac120002"
	for _, seed := range []string{
		"messages_" + id, "messages_" + strings.ToUpper(id), "messages_" + strings.ReplaceAll(id, "_", "-"), id, "messages_", "messages_messages_" + id,
		"messages_" + id + "_old", `messages_"; DROP TABLE messages; --`, "messages_{" + id[:34] + "}", "messages_00000000_0000_0000_0000_000000000000",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, table string) {
		tenant, ok := tenantOf(table)
		if !ok {
			return
		}
		p := partitionOf(tenant)
		require.Equal(t, `"`+table+`"`, p.table)
		require.Equal(t, "'"+tenant.String()+"'", p.bound)
		require.Regexp(t, `^messages(_[0-9a-f]+){5}$`, table)
		other, ok := tenantOf(partitionName(tenant))
		require.True(t, ok)
		require.Equal(t, tenant, other)
	})
}
