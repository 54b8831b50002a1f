package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/app"
)

func fromEnv(env map[string]string) app.Config {
	return app.FromEnv(func(key string) string { return env[key] })
}

func TestDefaultsAreThoseOfStrimzisDrainCleaner(t *testing.T) {
	t.Parallel()
	c := fromEnv(nil)
	require.NoError(t, c.Validate())
	assert.True(t, c.DrainKafka)
	assert.True(t, c.DrainZooKeeper)
	assert.True(t, c.DenyEviction)
	assert.Empty(t, c.Namespaces)
	assert.False(t, c.RequireNodeCordoned)
	assert.Equal(t, app.CertificateOwn, c.CertificateSource)
}

// The values of the README's table of environment variables.
func TestBooleanVariablesAcceptTheValuesOfQuarkus(t *testing.T) {
	t.Parallel()
	accepted := map[string]bool{}
	for _, value := range []string{"true", "1", "yes", "y", "on"} {
		accepted[value], accepted[strings.ToUpper(value)], accepted[" "+value+" "] = true, true, true
	}
	for _, value := range []string{"false", "0", "no", "n", "off"} {
		accepted[value], accepted[strings.ToUpper(value)], accepted[" "+value+" "] = false, false, false
	}
	variables := map[string]func(app.Config) bool{
		"STRIMZI_DRAIN_KAFKA":     func(c app.Config) bool { return c.DrainKafka },
		"STRIMZI_DRAIN_ZOOKEEPER": func(c app.Config) bool { return c.DrainZooKeeper },
		"STRIMZI_DENY_EVICTION":   func(c app.Config) bool { return c.DenyEviction },
		"STRIMZI_CERTIFICATE_WATCH_ENABLED": func(c app.Config) bool {
			return c.CertificateSource == app.CertificateSecret
		},
	}
	for name, get := range variables {
		env := map[string]string{"STRIMZI_CERTIFICATE_WATCH_POD_NAME": "pod"}
		for value, want := range accepted {
			env[name] = value
			c := fromEnv(env)
			assert.Equal(t, want, get(c), "%s=%q", name, value)
			assert.NoError(t, c.Validate(), "%s=%q", name, value)
		}
		for _, value := range []string{"flase", "ture", "2", "null", "enabled", "-"} {
			env[name] = value
			c := fromEnv(env)
			assert.ErrorContains(t, c.Validate(), name+`="`+value+`": must be true, 1, yes, y or on, or false, 0, no, n or off`)
		}
	}
}

func TestNamespacesAreACommaSeparatedList(t *testing.T) {
	t.Parallel()
	for value, want := range map[string][]string{
		"": nil, "*": nil, "a,*": nil, " , ": nil, "a": {"a"}, " a , b,": {"a", "b"},
	} {
		assert.Equal(t, want, fromEnv(map[string]string{"STRIMZI_DRAIN_NAMESPACES": value}).Namespaces, "%q", value)
	}
}

func TestFlagsTakePrecedenceOverTheEnvironment(t *testing.T) {
	t.Parallel()
	c := fromEnv(map[string]string{"STRIMZI_DRAIN_KAFKA": "false", "STRIMZI_DRAIN_NAMESPACES": "a"})
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.AddFlags(flags)
	require.NoError(t, flags.Parse([]string{"--drain-kafka", "--drain-namespaces= b ,c"}))
	assert.True(t, c.DrainKafka)
	assert.Equal(t, []string{"b", "c"}, c.Namespaces)
}

func TestCertificateWatchHasStrimzisDefaults(t *testing.T) {
	t.Parallel()
	const strimzi = "strimzi-drain-cleaner"
	type secret struct{ namespace, name, cert, key string }
	for name, test := range map[string]struct {
		variable, value string
		want            secret
	}{
		"only enabled":         {want: secret{strimzi, strimzi, "tls.crt", "tls.key"}},
		"namespace":            {"NAMESPACE", "ns", secret{"ns", strimzi, "tls.crt", "tls.key"}},
		"name of the Secret":   {"SECRET_NAME", "mine", secret{strimzi, "mine", "tls.crt", "tls.key"}},
		"keys in order":        {"SECRET_KEYS", "tls.crt,tls.key", secret{strimzi, strimzi, "tls.crt", "tls.key"}},
		"keys in other order":  {"SECRET_KEYS", "tls.key,tls.crt", secret{strimzi, strimzi, "tls.crt", "tls.key"}},
		"only the certificate": {"SECRET_KEYS", "tls.crt", secret{strimzi, strimzi, "tls.crt", "tls.key"}},
		"CA too":               {"SECRET_KEYS", "ca.crt, tls.crt, tls.key", secret{strimzi, strimzi, "tls.crt", "tls.key"}},
		"only the CA":          {"SECRET_KEYS", "ca.crt", secret{strimzi, strimzi, "tls.crt", "tls.key"}},
		"other names":          {"SECRET_KEYS", "a.key, a.crt", secret{strimzi, strimzi, "a.crt", "a.key"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := fromEnv(map[string]string{
				"STRIMZI_CERTIFICATE_WATCH_ENABLED": "true", "STRIMZI_CERTIFICATE_WATCH_POD_NAME": "pod",
				"STRIMZI_CERTIFICATE_WATCH_" + test.variable: test.value,
			})
			require.NoError(t, c.Validate())
			assert.Equal(t, app.CertificateSecret, c.CertificateSource)
			assert.Equal(t, test.want, secret{c.SecretNamespace, c.SecretName, c.SecretCertKey, c.SecretKeyKey})
		})
	}
}

func TestCertificateWatchRequiresThePodName(t *testing.T) {
	t.Parallel()
	c := fromEnv(map[string]string{"STRIMZI_CERTIFICATE_WATCH_ENABLED": "true"})
	assert.ErrorContains(t, c.Validate(), "STRIMZI_CERTIFICATE_WATCH_POD_NAME is empty")
}

func TestCertificateWatchIsOffUnlessEnabled(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"", "false"} {
		c := fromEnv(map[string]string{"STRIMZI_CERTIFICATE_WATCH_ENABLED": value})
		require.NoError(t, c.Validate())
		assert.Equal(t, app.CertificateOwn, c.CertificateSource)
		assert.Equal(t, "drain-cleaner-tls", c.SecretName)
	}
}

func TestMountedCertificateIsUsedIfItExists(t *testing.T) {
	t.Parallel()
	c := fromEnv(nil)
	c.CertificateDir = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(c.CertificateDir, "tls.crt"), nil, 0o600))
	require.NoError(t, c.Validate())
	assert.Equal(t, app.CertificateFiles, c.CertificateSource)
}

func TestErrorsNameTheFlagTheValueAndTheFix(t *testing.T) {
	t.Parallel()
	c := fromEnv(nil)
	c.WebhookAddress, c.CertificateSource, c.ReviewDeadline, c.ShutdownDelay, c.ServiceName = "8443", "magic", 0, -1, ""
	c.MaxKafkaResponse = 1
	err := c.Validate()
	for _, message := range []string{
		`--webhook-address="8443": must be host:port`, `--certificate-source="magic": must be own, files, secret or auto`,
		"--review-deadline=0s: must be greater than 0", "--shutdown-delay=-1ns: must not be negative", `--service-name=""`,
		"--kafka-max-response-bytes=1: must be from 65536",
	} {
		assert.ErrorContains(t, err, message)
	}
}
