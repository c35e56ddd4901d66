package webhook

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckPublic(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"https://example.com/", "https://8.8.8.8/", "https://8.8.8.8:8443/a", "https://[2606:4700::1111]/", "http://localhost.example.com/", "http://notlocalhost/",
	} {
		require.Empty(t, CheckPublic(good), good)
	}
	for _, bad := range []string{
		"http://127.0.0.1/", "http://127.0.0.1:8080/a?b", "https://10.0.0.1", "http://169.254.169.254/latest", "http://192.168.1.1./", "http://[::1]/",
		"http://[::1]:80/", "http://[fe80::1]/", "http://[fd00::1]/", "http://localhost", "http://LOCALHOST.:80/", "http://a.localhost/", "http://0.0.0.0/", "http://%zz/",
	} {
		require.NotEmpty(t, CheckPublic(bad), bad)
	}
}

func TestCheckPublicOrLocal(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"https://example.com/", "https://8.8.8.8/", "http://127.0.0.1:8080/a", "http://127.1.2.3/", "http://[::1]:80/", "http://[::ffff:127.0.0.1]/",
		"http://localhost:1", "http://LOCALHOST./", "http://a.localhost/",
	} {
		require.Empty(t, CheckPublicOrLocal(good), good)
	}
	for _, bad := range []string{
		"https://10.0.0.1", "http://169.254.169.254/latest", "http://192.168.1.1./", "http://[fe80::1]/", "http://[fd00::1]/", "http://0.0.0.0/", "http://[::]/", "http://%zz/",
	} {
		require.NotEmpty(t, CheckPublicOrLocal(bad), bad)
	}
}
