// Package deploy_test makes sure that the service takes the settings that it
// is deployed with. What Kubernetes takes is checked in kubernetes/check.
package deploy_test

import (
	"bytes"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"

	"lanekeeper/config"
)

// section returns a section of a YAML file, with the names of the environment
// as keys: viper makes keys small.
func section(t *testing.T, path string, keys ...string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	v := viper.NewWithOptions(viper.KeyDelimiter("\x00")) // no key is split at its dots
	v.SetConfigType("yaml")
	require.NoError(t, v.ReadConfig(bytes.NewReader(text)))
	found := v.AllSettings()
	for _, key := range keys {
		inner, ok := found[key].(map[string]any)
		require.True(t, ok, "%s has no section %s", path, key)
		found = inner
	}
	values := make(map[string]string)
	for name, value := range found {
		content, ok := value.(string)
		require.True(t, ok, "%s: %s must be text", path, name)
		values[strings.ToUpper(name)] = content
	}
	require.NotEmpty(t, values)
	return values
}

// setAll puts values into the environment, alone: what the caller has set for
// himself is hidden.
func setAll(t *testing.T, values ...map[string]string) {
	t.Helper()
	for _, name := range []string{"DATABASE_URL", "RABBITMQ_URL", "REDIS_URL", "JWT_SECRET", "ENVIRONMENT", "APP_PORT", "APP_HOST", "LANEKEEPER_CONFIG"} {
		t.Setenv(name, "")
	}
	for _, v := range values {
		for name, value := range v {
			t.Setenv(name, value)
		}
	}
}

func TestKubernetesSettings(t *testing.T) {
	settings := section(t, "kubernetes/configmap.yaml", "data")
	secrets := section(t, "kubernetes/secret.yaml", "stringdata")

	setAll(t, settings, secrets)
	_, err := config.Load("")
	require.ErrorContains(t, err, "JWT_SECRET", "the example's secret must not be usable")

	setAll(t, settings, secrets, map[string]string{"JWT_SECRET": strings.Repeat("0123456789abcdef", 4)})
	c, err := config.Load("")
	require.NoError(t, err)
	require.False(t, c.OpenMode())
	require.False(t, c.PrivateServers())
	require.Equal(t, ":8080", c.ListenAddress())
	require.Equal(t, "0.0.0.0:9090", c.AdminAddress())
	require.False(t, c.PublicMetrics())
	require.Positive(t, c.RabbitMQ.FileLimit)
	require.Equal(t, "quorum", c.RabbitMQ.DeadLetterQueueType)
	require.Len(t, strings.Split(c.RabbitMQ.URL, ","), 3)
	require.Equal(t, 5*time.Second, c.ShutdownDelay)
}

func TestComposeSettings(t *testing.T) {
	settings := section(t, "../docker-compose.yml", "x-replica", "environment")
	for name, value := range settings {
		settings[name] = unset(value)
	}
	setAll(t, settings)
	c, err := config.Load("")
	require.NoError(t, err)
	require.True(t, c.OpenMode())
	require.False(t, c.PrivateServers())
	require.Equal(t, "0.0.0.0:8080", c.ListenAddress())
	require.NotEmpty(t, c.Redis.URL)

	// Exactly the proxy is trusted, which has an address that no other container
	// can get; in open mode it may call, and the host by the gateway.
	v := viper.New()
	v.SetConfigFile("../docker-compose.yml")
	require.NoError(t, v.ReadInConfig())
	proxy := unset(v.GetString("services.nginx.networks.default.ipv4_address"))
	require.Equal(t, []string{proxy}, c.TrustedProxies)
	var pools []struct {
		Subnet, Gateway string
		Range           string `mapstructure:"ip_range"`
	}
	require.NoError(t, v.UnmarshalKey("networks.default.ipam.config", &pools))
	require.Len(t, pools, 1)
	require.Equal(t, []string{unset(pools[0].Gateway), proxy}, c.OpenModePeers)
	address := netip.MustParseAddr(proxy)
	require.True(t, netip.MustParsePrefix(unset(pools[0].Subnet)).Contains(address))
	require.False(t, netip.MustParsePrefix(unset(pools[0].Range)).Contains(address), "another container may get it")
	for _, at := range v.GetStringSlice("services.app.ports") {
		require.True(t, strings.HasPrefix(at, "127.0.0.1:"), at)
		require.False(t, strings.HasSuffix(at, ":9090"), "profiles are published")
	}
}

// unset returns a value of the Compose file with no variable set.
func unset(value string) string {
	return os.Expand(value, func(variable string) string {
		_, ifUnset, _ := strings.Cut(variable, ":-")
		return ifUnset
	})
}
