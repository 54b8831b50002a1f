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

func TestExamplesAreAccepted(t *testing.T) {
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

func TestInvalidPoliciesAreRejected(t *testing.T) {
	t.Parallel()
	env := testenv.Install(t)
	ns := env.Namespace(t)
	for name, test := range map[string]struct{ spec, message string }{
		"SelfCheck without brokers": {
			"mode: SelfCheck", "spec.bootstrapServers is required with mode SelfCheck and role broker",
		},
		"an empty selector": {"podSelector: {}", "spec.podSelector is empty"},
		"brokers without a port": {
			"bootstrapServers: kafka", "spec.bootstrapServers kafka is not a comma-separated list of host:port",
		},
		"onDeadline without a deadline": {"onDeadline: Allow", "set spec.drainDeadline"},
		"a deadline of 0": {
			"drainDeadline: 0s", `Invalid value: "0s": spec.drainDeadline must be at least 1s`,
		},
		"too many concurrent drains": {
			"maxConcurrent: 33", "Invalid value: 33: spec.maxConcurrent must be from 1 to 32",
		},
		"TLS without brokers": {"tls: {}", "spec.tls and spec.sasl require spec.bootstrapServers"},
		"brokers with role connect": {
			"role: connect\n  bootstrapServers: a:1", "cannot be used with role connect",
		},
		"headroom with role controller": {
			"role: controller\n  minIsrHeadroom: 2", "spec.minIsrHeadroom requires role broker: remove it",
		},
		"a label with from Ordinal": {
			"brokerId: {from: Ordinal, label: x}",
			"spec.brokerId.label is required with from: Label and not allowed otherwise",
		},
		"a cluster name without brokers": {"clusterName: blue", "spec.clusterName requires spec.bootstrapServers"},
		"operatorDownAfter with SelfCheck": {
			"mode: SelfCheck\n  bootstrapServers: a:1\n  operatorDownAfter: 5m", "has no effect with mode SelfCheck",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			selector := "  podSelector: {matchLabels: {a: b}}\n"
			if strings.HasPrefix(test.spec, "podSelector") {
				selector = ""
			}
			_, err := env.ApplyYAML(t.Context(), ns, "apiVersion: drain.weir.dev/v1alpha1\nkind: KafkaDrainPolicy\n"+
				"metadata:\n  name: p\nspec:\n"+selector+"  "+test.spec)
			assert.ErrorContains(t, err, test.message)
		})
	}
}

func TestOverlaysWithGivenCertificatesHaveNoPermissionToIssueThem(t *testing.T) {
	t.Parallel()
	env := testenv.Install(t)
	for _, variant := range []string{"drain-cleaner-cert-manager", "drain-cleaner-given-secret"} {
		rendered, err := env.Kubectl(t.Context(), "kustomize", testenv.DeployPath("overlays", variant))
		require.NoError(t, err)
		objects, err := testkit.DecodeYAML(rendered)
		require.NoError(t, err)
		for _, o := range objects {
			assert.NotContains(t, o.GetName(), "certificates", "overlay %s", variant)
		}
		assert.Contains(t, rendered, "--certificate-source=files")
	}
}
