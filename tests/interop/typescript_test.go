//go:build interop

package interop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// The TypeScript client is built, goes through its tests against the service, and does its
// work where its package is installed.
func TestTypeScriptClient(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret(), apptest.Delivering())
	app.AddUser("root@example.com", "admin", "")
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("../../clients/typescript")))
	output(t, dir, "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--prefer-offline")
	output(t, dir, "npm", "run", "build")
	environment := []string{"env", "LANEKEEPER_URL=" + app.URL(), "LANEKEEPER_EMAIL=root@example.com", "LANEKEEPER_PASSWORD=" + apptest.Password}
	t.Log(output(t, dir, append(environment, "npm", "test")...))

	packed := filepath.Join(dir, strings.TrimSpace(output(t, dir, "npm", "pack", "--silent")))
	elsewhere := install(t, packed)
	program := `import { Lanekeeper } from "lanekeeper-client";
const { LANEKEEPER_URL: url, LANEKEEPER_EMAIL: email, LANEKEEPER_PASSWORD: password } = process.env;
const client = await new Lanekeeper({ url }).login(email, password);
const tenant = await client.createTenant({ name: "packed" });
await client.publish(tenant.id, { payload: "from the package" });
for await (const message of client.stream(tenant.id, { after: 0 })) { console.log(message.payload); break; }
await client.deleteTenant(tenant.id);`
	require.NoError(t, os.WriteFile(filepath.Join(elsewhere, "program.mjs"), []byte(program), 0o600))
	require.Contains(t, output(t, elsewhere, append(environment, "node", "program.mjs")...), "from the package")
}
