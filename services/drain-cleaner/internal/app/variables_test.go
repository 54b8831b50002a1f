package app_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/app"
)

// variable is a row of the README's table of environment variables.
type variable struct{ name, defaultValue, accepted string }

// documentedVariables returns the rows of the table whose variables are those of Strimzi's Drain Cleaner.
func documentedVariables(t *testing.T) []variable {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(readme), "### Environment variables\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	var rows []variable
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) == 6 && strings.Contains(cells[1], "STRIMZI_") {
			rows = append(rows, variable{
				name:         strings.Trim(cells[1], " `"),
				defaultValue: strings.Trim(cells[2], " `"),
				accepted:     strings.TrimSpace(cells[3]),
			})
		}
	}
	return rows
}

// settingOf returns what a variable sets.
var settingOf = map[string]func(app.Config) string{
	"STRIMZI_DRAIN_KAFKA":     func(c app.Config) string { return fmt.Sprint(c.DrainKafka) },
	"STRIMZI_DRAIN_ZOOKEEPER": func(c app.Config) string { return fmt.Sprint(c.DrainZooKeeper) },
	"STRIMZI_DENY_EVICTION":   func(c app.Config) string { return fmt.Sprint(c.DenyEviction) },
	"STRIMZI_DRAIN_NAMESPACES": func(c app.Config) string {
		if len(c.Namespaces) == 0 {
			return "all namespaces"
		}
		return strings.Join(c.Namespaces, "+")
	},
	"STRIMZI_CERTIFICATE_WATCH_ENABLED": func(c app.Config) string {
		return fmt.Sprint(c.CertificateSource == app.CertificateSecret)
	},
	"STRIMZI_CERTIFICATE_WATCH_NAMESPACE":   func(c app.Config) string { return c.SecretNamespace },
	"STRIMZI_CERTIFICATE_WATCH_POD_NAME":    func(app.Config) string { return "" },
	"STRIMZI_CERTIFICATE_WATCH_SECRET_NAME": func(c app.Config) string { return c.SecretName },
	"STRIMZI_CERTIFICATE_WATCH_SECRET_KEYS": func(c app.Config) string { return c.SecretCertKey + "," + c.SecretKeyKey },
}

// acceptedValues are the values of each kind in the table, and the setting that they cause.
var acceptedValues = map[string]map[string]string{
	"boolean": {
		"true": "true", "1": "true", "yes": "true", "y": "true", "on": "true", "TRUE": "true", "Yes": "true", "oN": "true",
		"false": "false", "0": "false", "no": "false", "n": "false", "off": "false", "FALSE": "false", "No": "false",
	},
	"comma-separated names; empty or with `*` for all": {
		"*": "all namespaces", "kafka,*": "all namespaces", ",": "all namespaces", "kafka": "kafka",
		"kafka,other": "kafka+other", "kafka , other ,": "kafka+other",
	},
	"name":                          {"mine": "mine"},
	"name; required with the watch": {"pod-0": ""},
	"comma-separated keys in any order and number": {
		"tls.crt,tls.key": "tls.crt,tls.key", "tls.key,tls.crt": "tls.crt,tls.key", "tls.key": "tls.crt,tls.key",
		"ca.crt, tls.key, tls.crt": "tls.crt,tls.key", "a.key,a.crt": "a.crt,a.key", "a.crt,a.key": "a.crt,a.key",
	},
}

// Each row of the README's table is checked: the default, and each kind of value that it says is accepted.
func TestDocumentedEnvironmentVariablesHaveTheDocumentedValues(t *testing.T) {
	t.Parallel()
	rows := documentedVariables(t)
	require.Len(t, rows, len(settingOf), "the table has all variables of Strimzi's Drain Cleaner")
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			get, values := settingOf[row.name], acceptedValues[row.accepted]
			require.NotNil(t, get, "an unknown variable")
			require.NotEmpty(t, values, "the accepted values %q have no test", row.accepted)
			check := func(value, want string) {
				env := map[string]string{
					"STRIMZI_CERTIFICATE_WATCH_ENABLED": "true", "STRIMZI_CERTIFICATE_WATCH_POD_NAME": "pod",
				}
				env[row.name] = value
				if row.name == "STRIMZI_CERTIFICATE_WATCH_POD_NAME" && value == "" {
					delete(env, "STRIMZI_CERTIFICATE_WATCH_ENABLED")
				}
				c := fromEnv(env)
				require.NoError(t, c.Validate(), "%q", value)
				assert.Equal(t, want, get(c), "%q", value)
			}
			check("", row.defaultValue)
			for value, want := range values {
				check(value, want)
			}
			t.Logf("%s: default %q and %d accepted values", row.name, row.defaultValue, len(values))
			if row.accepted == "boolean" {
				c := fromEnv(map[string]string{row.name: "flase"})
				assert.ErrorContains(t, c.Validate(), row.name+`="flase": must be true, 1, yes, y or on`)
			}
		})
	}
}
