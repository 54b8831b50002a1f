package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/config"
)

func from(env map[string]string) config.Config {
	return config.FromEnv(func(key string) string { return env[key] })
}

func TestHasStrimzisDefaults(t *testing.T) {
	t.Parallel()
	c := from(nil)
	require.NoError(t, c.Validate())
	assert.True(t, c.DrainKafka)
	assert.True(t, c.DrainZooKeeper)
	assert.True(t, c.DenyEviction)
	assert.Empty(t, c.Namespaces)
	assert.False(t, c.RequireNodeCordoned)
	assert.Equal(t, config.CertificateOwn, c.CertificateSource)
}

func TestReadsStrimzisVariables(t *testing.T) {
	t.Parallel()
	c := from(map[string]string{"STRIMZI_DRAIN_KAFKA": "false", "STRIMZI_DRAIN_ZOOKEEPER": "TRUE", "STRIMZI_DENY_EVICTION": "no"})
	assert.False(t, c.DrainKafka)
	assert.True(t, c.DrainZooKeeper)
	assert.False(t, c.DenyEviction, "anything but true is false")
	for value, want := range map[string][]string{"": nil, "*": nil, "a,*": nil, "a": {"a"}, " a , b,": {"a", "b"}, " , ": nil} {
		assert.Equal(t, want, from(map[string]string{"STRIMZI_DRAIN_NAMESPACES": value}).Namespaces, "%q", value)
	}
}

func TestFlagsComeBeforeTheEnvironment(t *testing.T) {
	t.Parallel()
	c := from(map[string]string{"STRIMZI_DRAIN_KAFKA": "false", "STRIMZI_DRAIN_NAMESPACES": "a"})
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.AddFlags(flags)
	require.NoError(t, flags.Parse([]string{"--drain-kafka", "--drain-namespaces= b ,c"}))
	assert.True(t, c.DrainKafka)
	assert.Equal(t, []string{"b", "c"}, c.Namespaces)
}

// The certificate watch of Strimzi's Drain Cleaner.
func TestWatchesACertificateAsStrimzisVariablesSay(t *testing.T) {
	t.Parallel()
	on := map[string]string{"STRIMZI_CERTIFICATE_WATCH_ENABLED": "true", "STRIMZI_CERTIFICATE_WATCH_NAMESPACE": "ns", "STRIMZI_CERTIFICATE_WATCH_POD_NAME": "pod"}
	with := func(key, value string) map[string]string {
		env := map[string]string{key: value}
		for k, v := range on {
			if _, set := env[k]; !set {
				env[k] = v
			}
		}
		return env
	}
	for name, test := range map[string]struct {
		env                       map[string]string
		source, secret, cert, key string
		fault                     string
	}{
		"not unless it is enabled":       {source: config.CertificateOwn, secret: "weir-drain-cleaner-tls", cert: "tls.crt", key: "tls.key"},
		"not where it is disabled":       {env: with("STRIMZI_CERTIFICATE_WATCH_ENABLED", "false"), source: config.CertificateOwn, secret: "weir-drain-cleaner-tls", cert: "tls.crt", key: "tls.key"},
		"with Strimzi's Secret and keys": {env: on, source: config.CertificateSecret, secret: "strimzi-drain-cleaner", cert: "tls.crt", key: "tls.key"},
		"with another Secret":            {env: with("STRIMZI_CERTIFICATE_WATCH_SECRET_NAME", "mine"), source: config.CertificateSecret, secret: "mine", cert: "tls.crt", key: "tls.key"},
		"with other keys":                {env: with("STRIMZI_CERTIFICATE_WATCH_SECRET_KEYS", "a.crt, a.key"), source: config.CertificateSecret, secret: "strimzi-drain-cleaner", cert: "a.crt", key: "a.key"},
		"not without a namespace":        {env: with("STRIMZI_CERTIFICATE_WATCH_NAMESPACE", ""), fault: "STRIMZI_CERTIFICATE_WATCH_NAMESPACE is empty"},
		"not without a pod":              {env: with("STRIMZI_CERTIFICATE_WATCH_POD_NAME", ""), fault: "STRIMZI_CERTIFICATE_WATCH_POD_NAME is empty"},
		"not with one key":               {env: with("STRIMZI_CERTIFICATE_WATCH_SECRET_KEYS", "tls.crt"), fault: `STRIMZI_CERTIFICATE_WATCH_SECRET_KEYS="tls.crt"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := from(test.env)
			err := c.Validate()
			if test.fault != "" {
				require.ErrorContains(t, err, test.fault)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, []string{test.source, test.secret, test.cert, test.key}, []string{c.CertificateSource, c.SecretName, c.SecretCertKey, c.SecretKeyKey})
		})
	}
}

func TestTakesMountedCertificatesWhereThereAreSome(t *testing.T) {
	t.Parallel()
	c := from(nil)
	c.CertificateDir = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(c.CertificateDir, "tls.crt"), nil, 0o600))
	require.NoError(t, c.Validate())
	assert.Equal(t, config.CertificateFiles, c.CertificateSource)
}

func TestNamesTheFlagTheValueAndTheCure(t *testing.T) {
	t.Parallel()
	c := from(nil)
	c.WebhookAddress, c.CertificateSource, c.ReviewDeadline, c.Linger, c.ServiceName = "8443", "magic", 0, -1, ""
	err := c.Validate()
	for _, says := range []string{`--webhook-address="8443": must be host:port`, `--certificate-source="magic": must be own, files, secret or auto`, "--review-deadline=0s: must be more than 0", "--linger=-1ns", `--service-name=""`} {
		assert.ErrorContains(t, err, says)
	}
}
