package repository

import (
	"slices"
	"strings"

	"lanekeeper/pkg/postgres"
)

// securedTable is a table that the roles may use. Every table is in
// securedTables, and each that has a tenant's id is under row-level security.
type securedTable struct {
	name string
	// tenant is the column with the tenant's id; "" where rows are of no tenant.
	tenant string
	// app and writer are the rights of these roles, which a policy narrows to some
	// rows; "" for none. Roles.System has all rights, and sees all rows.
	app, writer string
}

const (
	allRights = "SELECT, INSERT, UPDATE, DELETE"
	// visibleSQL is true of a tenant that the transaction has named. The list is read
	// once for a statement, and looked up for each row; it cannot be taken for a
	// condition of an index, of which there may be one already.
	visibleSQL = ` IN (SELECT unnest(nullif(current_setting('lanekeeper.tenants', true), '')::uuid[]))`
)

// securedTables returns all tables but that of the migrations. Whoever adds one says here
// who may do what with it. What is looked for before its tenant is known, such as users
// and tickets, and what nothing but jobs use, is for Roles.System alone.
func securedTables() []securedTable {
	return []securedTable{
		{name: "tenants", tenant: "id", app: "SELECT, INSERT, UPDATE"},
		{name: "messages", tenant: "tenant_id", app: "SELECT, DELETE", writer: "INSERT"},
		{name: "tenant_streams", tenant: "tenant_id", app: "SELECT, UPDATE, DELETE", writer: "SELECT, UPDATE"},
		{name: "idempotency", tenant: "scope", app: allRights},
		{name: "dead_letters", tenant: "tenant_id", app: allRights},
		{name: "dead_letter_counts", tenant: "tenant_id", app: allRights},
		{name: "dead_letter_jobs", tenant: "tenant_id", app: allRights},
		{name: "endpoints", tenant: "tenant_id", app: allRights},
		{name: "endpoint_cursors", tenant: "tenant_id", app: allRights},
		{name: "upgraded_endpoints", tenant: "tenant_id", app: "SELECT, UPDATE, DELETE"},
		{name: "transmissions", tenant: "tenant_id", app: allRights},
		{name: "deliveries", tenant: "tenant_id", app: allRights},
		{name: "delivery_claims", tenant: "tenant_id", app: allRights},
		{name: "attempts", tenant: "tenant_id", app: "SELECT, DELETE"},
		{name: "replays", tenant: "tenant_id", app: allRights},
		{name: "consumer_reports", tenant: "tenant_id", app: "SELECT"},
		{name: "tenant_moves", tenant: "tenant_id", app: "SELECT, DELETE"},
		{name: "usage_days", tenant: "tenant_id", app: allRights},
		{name: "usage_cursors", tenant: "tenant_id", app: allRights},
		{name: "audit", tenant: "tenant_id", app: "INSERT"}, // by who changes what is the tenant's
		{name: "api_keys", tenant: "tenant_id"},
		{name: "amqp_credentials", tenant: "tenant_id"},
		{name: "stream_tickets", tenant: "tenant_id"},
		{name: "users", tenant: "tenant_id"},
		{name: "secrets"},
		{name: "login_failures"},
		{name: "replicas", app: "SELECT"},
		{name: "deliverers", app: "SELECT"},
	}
}

// securedSequences returns the sequences that give columns of these tables their values.
func securedSequences() []string {
	return []string{"audit_ids", "dead_letter_ids", "endpoint_versions"}
}

// readableViews returns the views for people. They see the rows of all tenants, whoever
// asks, so that of the roles Roles.System alone may read them.
func readableViews() []string { return []string{"dead_letters_readable", "tenant_overview"} }

// partitionedTables returns those whose partitions nobody may use by themselves: the
// policies are those of the table as a whole.
func partitionedTables() []string { return []string{"messages", attemptsTable} }

// policy is what a role may see and change of a table.
type policy struct{ name, role, rule string }

// policies returns those of the table. Their names say which form they have, and to
// whom they apply: another form is a policy of its own.
func (t securedTable) policies(r Roles) []policy {
	if t.tenant == "" {
		return nil
	}
	all := []policy{{role: r.System, rule: `FOR ALL TO ` + postgres.QuoteName(r.System) + ` USING (true)`}}
	if t.app != "" {
		all = append(all, policy{role: r.App, rule: `FOR ALL TO ` + postgres.QuoteName(r.App) + ` USING (` + postgres.QuoteName(t.tenant) + visibleSQL + `)`})
	}
	switch t.writer {
	case "":
	case "INSERT": // the queue says whose a message is
		all = append(all, policy{role: r.Writer, rule: `FOR INSERT TO ` + postgres.QuoteName(r.Writer) + ` WITH CHECK (true)`})
	default:
		all = append(all, policy{role: r.Writer, rule: `FOR ALL TO ` + postgres.QuoteName(r.Writer) + ` USING (true)`})
	}
	for i := range all {
		all[i].name = all[i].role + " v1"
	}
	return all
}

// rights returns what the roles have been given, in the form of tableStateSQL.
func (t securedTable) rights(r Roles) []string {
	var all []string
	for role, rights := range map[string]string{r.App: t.app, r.Writer: t.writer, r.System: allRights} {
		for right := range strings.SplitSeq(rights, ", ") {
			if right != "" {
				all = append(all, role+" "+right)
			}
		}
	}
	slices.Sort(all)
	return all
}

// statements returns what is missing of a table, to be run in one transaction: the
// policies come before what makes them count.
func (t securedTable) statements(table string, r Roles, is *tableState) []string {
	var sql []string
	if rights := t.rights(r); !slices.Equal(rights, is.rights) {
		sql = append(sql, `REVOKE ALL ON `+table+` FROM `+quoteNames(r.names()))
		for _, g := range []struct{ role, rights string }{{r.App, t.app}, {r.Writer, t.writer}, {r.System, allRights}} {
			if g.rights != "" {
				sql = append(sql, `GRANT `+g.rights+` ON `+table+` TO `+postgres.QuoteName(g.role))
			}
		}
	}
	policies := t.policies(r)
	for _, p := range policies {
		if !slices.Contains(is.policies, p.name) {
			name := postgres.QuoteName(p.name) + ` ON ` + table
			sql = append(sql, `DROP POLICY IF EXISTS `+name, `CREATE POLICY `+name+` `+p.rule) // for whom it is meant
		}
	}
	if len(policies) > 0 && !is.secured {
		// Whoever else was given rights keeps them, such as an older version that does
		// not log in as the owner: to find nothing would be worse than to be refused.
		if len(is.others) > 0 && !slices.Contains(is.policies, othersPolicy) {
			sql = append(sql, `CREATE POLICY `+postgres.QuoteName(othersPolicy)+` ON `+table+` TO `+quoteNames(is.others)+` USING (true)`)
		}
		sql = append(sql, `ALTER TABLE `+table+` ENABLE ROW LEVEL SECURITY`)
	}
	return sql
}

// othersPolicy is the policy for those who were given rights before there were policies.
const othersPolicy = "lanekeeper others"

func quoteNames(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = postgres.QuoteName(name)
	}
	return strings.Join(quoted, ", ")
}
