package deploy_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"

	"lanekeeper/config"
)

const (
	unitFile    = "systemd/lanekeeper.service"
	packageFile = "debian/nfpm.yaml"
	configFile  = "debian/config.yaml"
)

// unit is what the unit of systemd says, each setting with all its values.
func unit(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(unitFile)
	require.NoError(t, err)
	settings := make(map[string][]string)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if name, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			settings[name] = append(settings[name], value)
		}
	}
	return settings
}

// content is a file of the Debian package.
type content struct {
	Src, Dst, Type string
	FileInfo       struct{ Mode os.FileMode } `mapstructure:"file_info"`
}

func contents(t *testing.T) (list []content) {
	t.Helper()
	v := viper.New()
	v.SetConfigFile(packageFile)
	require.NoError(t, v.ReadInConfig())
	require.NoError(t, v.UnmarshalKey("contents", &list))
	for _, script := range v.GetStringMapString("scripts") {
		require.FileExists(t, filepath.Join("..", script))
	}
	return list
}

// The service has no privileges, writes nothing but its own data, and is not cut off
// while it drains.
func TestUnit(t *testing.T) {
	t.Parallel()
	u := unit(t)
	for name, want := range map[string]string{
		"User": "lanekeeper", "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "AmbientCapabilities": "", "ProtectSystem": "strict", "ProtectHome": "yes",
		"PrivateTmp": "yes", "PrivateDevices": "yes", "PrivateUsers": "yes", "ProtectKernelModules": "yes", "ProtectKernelTunables": "yes", "ProtectControlGroups": "yes",
		"MemoryDenyWriteExecute": "yes", "RestrictNamespaces": "yes", "RestrictSUIDSGID": "yes", "LockPersonality": "yes", "SystemCallArchitectures": "native",
		"RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "StateDirectory": "lanekeeper", "UMask": "0077",
	} {
		require.Equal(t, []string{want}, u[name], name)
	}
	require.Equal(t, []string{"@system-service", "~@privileged @resources"}, u["SystemCallFilter"])
	files, err := strconv.Atoi(u["LimitNOFILE"][0])
	require.NoError(t, err)
	require.GreaterOrEqual(t, files, 20000)
	patience, err := time.ParseDuration(u["TimeoutStopSec"][0] + "s")
	require.NoError(t, err)
	require.Greater(t, patience, config.Default().ShutdownTimeout+5*time.Second)
	// Nothing may be written that the unit does not name.
	require.NotContains(t, u, "ReadWritePaths")
}

// The package has what the unit runs and reads, and only root and the service may read
// what holds secrets.
func TestPackageHasWhatTheUnitNames(t *testing.T) {
	t.Parallel()
	u := unit(t)
	there := make(map[string]content)
	for _, c := range contents(t) {
		require.NotContains(t, there, c.Dst)
		there[c.Dst] = c
		if c.Src != "" && !strings.HasPrefix(c.Src, "${BUILD}/") {
			require.FileExists(t, filepath.Join("..", c.Src))
		}
	}
	program, _, _ := strings.Cut(u["ExecStart"][0], " ")
	require.Equal(t, os.FileMode(0o755), there[program].FileInfo.Mode)
	name, path, _ := strings.Cut(u["Environment"][0], "=")
	require.Equal(t, "LANEKEEPER_CONFIG", name)
	require.Equal(t, "config|noreplace", there[path].Type)
	require.Equal(t, os.FileMode(0o640), there[path].FileInfo.Mode)
	require.Equal(t, os.FileMode(0o750), there[filepath.Dir(path)].FileInfo.Mode)
	require.Equal(t, os.FileMode(0o750), there["/var/lib/"+u["StateDirectory"][0]].FileInfo.Mode)
	require.Contains(t, there, strings.TrimPrefix(u["Documentation"][0], "file:"))
	require.True(t, slices.ContainsFunc(contents(t), func(c content) bool {
		return strings.HasPrefix(c.Dst, "/usr/lib/systemd/system/") && filepath.Base(c.Dst) == filepath.Base(unitFile)
	}))
}

// The packaged configuration does not start before it names its servers and a secret, and
// then it listens where a proxy of this machine reaches it.
//
//nolint:paralleltest // sets the environment
func TestPackagedConfiguration(t *testing.T) {
	setAll(t)
	_, err := config.Load(configFile)
	require.Error(t, err)
	for _, missing := range []string{"JWT_SECRET", "DATABASE_URL"} {
		require.ErrorContains(t, err, missing)
	}
	setAll(t, map[string]string{
		"JWT_SECRET": strings.Repeat("0123456789abcdef", 4), "DATABASE_URL": "postgres://lanekeeper:p@127.0.0.1:5432/lanekeeper",
		"RABBITMQ_URL": "amqp://lanekeeper:p@127.0.0.1:5672/",
	})
	c, err := config.Load(configFile)
	require.NoError(t, err)
	require.False(t, c.OpenMode())
	require.False(t, c.PrivateServers())
	require.Equal(t, "127.0.0.1:8080", c.ListenAddress())
}
