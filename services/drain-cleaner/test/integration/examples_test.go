package integration_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
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

// The labels, names and node ids of the pods are those that the charts give them.
func TestExamplesForChartsProtectTheBrokersOfTheChart(t *testing.T) {
	t.Parallel()
	bitnami := func(component string) map[string]string {
		return map[string]string{
			"app.kubernetes.io/name": "kafka", "app.kubernetes.io/instance": "kafka", "app.kubernetes.io/component": component,
		}
	}
	confluent := map[string]string{"app": "cp-kafka", "release": "my-confluent"}
	cluster := decide.NewCluster("c", []decide.Broker{
		{ID: 0, Host: "kafka-controller-0.kafka-controller-headless.default.svc.cluster.local"},
		{ID: 101, Host: "kafka-broker-1.kafka-broker-headless.default.svc.cluster.local"},
		{ID: 2, Host: "10.0.0.2"},
	}, nil, nil, time.Now())
	for name, test := range map[string]struct {
		file     string
		pod      decide.Pod
		selected bool
		id       int32
	}{
		"a broker of Bitnami's chart": {
			"bitnami.yaml", decide.Pod{Name: "kafka-broker-1", Labels: bitnami("broker")}, true, 101,
		},
		"a combined node of Bitnami's chart": {
			"bitnami.yaml", decide.Pod{Name: "kafka-controller-0", Labels: bitnami("controller-eligible")}, true, 0,
		},
		"an exporter of Bitnami's chart": {"bitnami.yaml", decide.Pod{Labels: bitnami("cluster-metrics")}, false, 0},
		"a broker of Confluent's chart": {
			"confluent.yaml", decide.Pod{Name: "my-confluent-cp-kafka-2", IP: "10.0.0.2", Labels: confluent}, true, 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content, err := os.ReadFile(testenv.DeployPath("examples", "drain-cleaner", test.file))
			require.NoError(t, err)
			objects, err := testkit.DecodeYAML(string(content))
			require.NoError(t, err)
			require.Len(t, objects, 1)
			policy := &drainv1alpha1.KafkaDrainPolicy{}
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(objects[0].Object, policy))
			selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
			require.NoError(t, err)
			require.Equal(t, test.selected, selector.Matches(labels.Set(test.pod.Labels)), "selected")
			if test.selected {
				id, fault := decide.Identify(policy.Spec.BrokerID, &test.pod, cluster)
				require.Empty(t, fault)
				assert.Equal(t, test.id, id)
			}
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
