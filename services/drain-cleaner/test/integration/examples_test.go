package integration_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

func TestTakesEveryExample(t *testing.T) {
	t.Parallel()
	env := testenv.Install(t)
	files, err := filepath.Glob(testenv.DeployPath("examples", "drain-cleaner", "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			applied, err := env.ApplyFiles(t.Context(), env.Namespace(t), file)
			require.NoError(t, err)
			assert.NotEmpty(t, applied)
		})
	}
}

func TestRefusesPoliciesThatCannotWork(t *testing.T) {
	t.Parallel()
	env := testenv.Install(t)
	ns := env.Namespace(t)
	for name, test := range map[string]struct{ spec, says string }{
		"self-check without brokers":    {"podSelector: {matchLabels: {a: b}}\n  mode: SelfCheck", "spec.bootstrapServers is required with mode SelfCheck and role broker"},
		"a selector of everything":      {"podSelector: {}", "spec.podSelector is empty"},
		"servers without a port":        {"podSelector: {matchLabels: {a: b}}\n  bootstrapServers: kafka", "spec.bootstrapServers kafka is not a comma-separated list of host:port"},
		"no deadline to act on":         {"podSelector: {matchLabels: {a: b}}\n  onDeadline: Allow", "set spec.drainDeadline"},
		"a deadline of nothing":         {"podSelector: {matchLabels: {a: b}}\n  drainDeadline: 0s", `Invalid value: "0s": spec.drainDeadline must be at least 1s`},
		"nobody at a time":              {"podSelector: {matchLabels: {a: b}}\n  maxConcurrent: 33", "Invalid value: 33: spec.maxConcurrent must be from 1 to 32"},
		"TLS to nowhere":                {"podSelector: {matchLabels: {a: b}}\n  tls: {}", "spec.tls and spec.sasl require spec.bootstrapServers"},
		"brokers of connectors":         {"podSelector: {matchLabels: {a: b}}\n  role: connect\n  bootstrapServers: a:1", "cannot be used with role connect"},
		"headroom of controllers":       {"podSelector: {matchLabels: {a: b}}\n  role: controller\n  minIsrHeadroom: 2", "spec.minIsrHeadroom requires role broker: remove it"},
		"a label that nobody asked for": {"podSelector: {matchLabels: {a: b}}\n  brokerId: {from: Ordinal, label: x}", "spec.brokerId.label is required with from: Label and not allowed otherwise"},
		"a name of no cluster":          {"podSelector: {matchLabels: {a: b}}\n  clusterName: blue", "spec.clusterName requires spec.bootstrapServers"},
		"an operator that nobody asks":  {"podSelector: {matchLabels: {a: b}}\n  mode: SelfCheck\n  bootstrapServers: a:1\n  operatorDownAfter: 5m", "has no effect with mode SelfCheck"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := env.ApplyYAML(t.Context(), ns, "apiVersion: drain.weir.dev/v1alpha1\nkind: KafkaDrainPolicy\nmetadata:\n  name: p\nspec:\n  "+test.spec)
			assert.ErrorContains(t, err, test.says)
		})
	}
}

func TestRendersEveryVariant(t *testing.T) {
	t.Parallel()
	env := testenv.Install(t)
	for _, variant := range []string{"drain-cleaner-cert-manager", "drain-cleaner-given-secret"} {
		rendered, err := env.Kubectl(t.Context(), "kustomize", testenv.DeployPath("overlays", variant))
		require.NoError(t, err)
		objects, err := testkit.DecodeYAML(rendered)
		require.NoError(t, err)
		for _, o := range objects {
			assert.NotContains(t, o.GetName(), "certificates", "%s has no right to write certificates", variant)
		}
		assert.Contains(t, rendered, "--certificate-source=files")
	}
}
