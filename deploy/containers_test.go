package deploy_test

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"
)

// container is a service of the Compose file, as far as it says what its program
// may do.
type container struct {
	Image       string
	User        string
	Privileged  bool
	ReadOnly    bool     `mapstructure:"read_only"`
	CapDrop     []string `mapstructure:"cap_drop"`
	CapAdd      []string `mapstructure:"cap_add"`
	SecurityOpt []string `mapstructure:"security_opt"`
	Ports       []string
	Ulimits     struct{ NoFile int }
}

// root reports whether the image's program begins as root.
func (c container) root() bool {
	uid, _, _ := strings.Cut(c.User, ":")
	n, err := strconv.Atoi(uid)
	return err != nil || n == 0
}

// No container has privileges that it does not need.
func TestContainersAreLocked(t *testing.T) {
	t.Parallel()
	v := viper.New()
	v.SetConfigFile("../docker-compose.yml")
	require.NoError(t, v.ReadInConfig())
	services := make(map[string]container)
	require.NoError(t, v.UnmarshalKey("services", &services))
	require.Len(t, services, 8)
	steppingDownImages := []string{"postgres", "rabbitmq", "nginx"}
	steppingDown := []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}
	for name, c := range services {
		require.False(t, c.Privileged, name)
		require.Equal(t, []string{"ALL"}, c.CapDrop, name)
		require.Contains(t, c.SecurityOpt, "no-new-privileges:true", name)
		require.GreaterOrEqual(t, c.Ulimits.NoFile, 20000, name)
		if c.root() {
			require.Contains(t, steppingDownImages, name, "begins as root")
			require.Equal(t, steppingDown, c.CapAdd, name)
		} else {
			require.Empty(t, c.CapAdd, name)
		}
		// Their programs write beside their volumes, where a tmpfs has the rights that
		// the image says, which differ.
		require.True(t, c.ReadOnly || slices.Contains(steppingDownImages, name), name)
		for _, port := range c.Ports {
			require.True(t, strings.HasPrefix(port, "127.0.0.1:"), "%s is open to the network", name)
		}
		require.Regexp(t, `^[a-z/]+:[a-z0-9.-]+(@sha256:[0-9a-f]{64})?$`, c.Image)
		require.NotContains(t, c.Image, ":latest", name)
	}
	// What Compose gives the broker is what the service counts with.
	require.Equal(t, v.GetString("services.app.environment.rabbitmq_file_limit"), strconv.Itoa(services["rabbitmq"].Ulimits.NoFile))
}

// The image has no root, and names the images that it is made of in one place,
// where scripts/pin-images.sh finds them.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../Dockerfile")
	require.NoError(t, err)
	lines := strings.Split(string(text), "\n")
	last := slices.IndexFunc(lines, func(line string) bool { return line == "FROM ${BASE_IMAGE}" })
	require.Positive(t, last)
	require.Contains(t, lines[last:], "USER 65532:65532")
	require.Len(t, regexp.MustCompile(`(?m)^FROM `).FindAllString(string(text), -1), 2)
	require.Len(t, regexp.MustCompile(`(?m)^ARG [A-Z]+_IMAGE=[^@\s]+(@sha256:[0-9a-f]{64})?$`).FindAllString(string(text), -1), 2)
	require.Regexp(t, `:nonroot(@|\n)`, string(text))
}
