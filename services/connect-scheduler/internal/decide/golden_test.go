package decide_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

// planned are all the objects that are made, once the connector has published a config for each hash and there is a
// StatefulSet to be brought up to date.
func planned(t *testing.T, s observed.State, hashes ...string) []any {
	t.Helper()
	s = withTaskSet(s, hashes...)
	plan, err := decide.Connector(s, spec.Of(s))
	require.NoError(t, err)
	var all []any
	all = add(all, plan.ServiceAccounts)
	all = add(all, plan.Roles)
	all = add(all, plan.RoleBindings)
	all = add(all, plan.Secrets)
	all = add(all, plan.Claims)
	all = add(all, plan.Budgets)
	all = add(all, plan.Services)
	return add(all, plan.StatefulSets)
}

// withTaskSet returns the state after the connector has published a config for each hash.
func withTaskSet(s observed.State, hashes ...string) observed.State {
	s.Now = decidetest.Noon
	s.Settings = decidetest.Settings()
	s.Worker = decidetest.Worker()
	s.TaskConfigs = decidetest.Published(s.Connector, hashes...)
	s.Objects.TaskSet = &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: observed.TasksName(s.Connector.Name),
		OwnerReferences: []metav1.OwnerReference{
			{Kind: "KafkaConnector", Name: s.Connector.Name, UID: s.Connector.UID, Controller: ptr.To(true)},
		}}}
	return s
}

func add[T any](all []any, more []T) []any {
	for _, one := range more {
		all = append(all, one)
	}
	return all
}

func goldenFile(name string) string { return "../../testdata/golden/" + name + ".yaml" }

func TestObjectsOfTheCsidSample(t *testing.T) {
	t.Parallel()
	testkit.Golden(
		t,
		goldenFile("csid-sample"),
		planned(t, observed.State{Connector: decidetest.Connector()}, "aaaa", "bbbb", "cccc")...)
}

func TestObjectsWithEveryOption(t *testing.T) {
	t.Parallel()
	c := decidetest.Connector()
	c.Spec.TasksMax = ptr.To[int32](2)
	c.Spec.MaxUnavailable = ptr.To(intstr.FromInt32(1))
	c.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}}
	c.Spec.Connector.ServiceSpec = &corev1.ServiceSpec{
		Type:  corev1.ServiceTypeLoadBalancer,
		Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8085)}},
	}
	c.Spec.Task.ServiceSpec = &corev1.ServiceSpec{
		Ports: []corev1.ServicePort{{Name: "syslog", Port: 5454, NodePort: 30054}},
	}
	c.Spec.Plugins = []connectv1.Plugin{
		{Name: "jdbc", Image: "registry.example.com/jdbc:1"},
		{Name: "s3", URL: "https://example.com/s3.zip", SHA512: strings.Repeat("ab", 64)},
	}
	c.Spec.LoggingConfig.File = "connect.log"
	c.Spec.Storage = &connectv1.StorageSpec{
		Size:       "1Gi",
		Class:      "rook-cephfs",
		MountPath:  "/mnt/shared",
		AccessMode: corev1.ReadWriteOnce,
		SubPath:    "$(CONNECTOR_NAME)/$(POD_NAME)",
	}
	c.Spec.Template = &connectv1.TemplateSpec{
		WorkloadTemplate: connectv1.WorkloadTemplate{
			Metadata: &connectv1.TemplateMetadata{
				Labels:      map[string]string{"team": "platform"},
				Annotations: map[string]string{"note": "all"},
			},
			Pod: &connectv1.PodTemplate{
				SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(false), FSGroup: ptr.To[int64](1001)},
				NodeSelector:    map[string]string{"disk": "ssd"},
			},
			Container: &connectv1.ContainerTemplate{
				Env:        []corev1.EnvVar{{Name: "TZ", Value: "UTC"}},
				JVMOptions: []string{"-Xlog:gc*:file=/mnt/shared/gc-$(POD_NAME).log"},
			},
		},
		Connector: &connectv1.WorkloadTemplate{
			Container: &connectv1.ContainerTemplate{Env: []corev1.EnvVar{{Name: "TZ", Value: "CET"}}},
		},
		Task: &connectv1.WorkloadTemplate{
			Metadata: &connectv1.TemplateMetadata{Annotations: map[string]string{"note": "task"}},
			Pod: &connectv1.PodTemplate{
				Affinity: &corev1.Affinity{
					NodeAffinity: &corev1.NodeAffinity{
						RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
							NodeSelectorTerms: []corev1.NodeSelectorTerm{
								{
									MatchExpressions: []corev1.NodeSelectorRequirement{
										{Key: "zone", Operator: corev1.NodeSelectorOpExists},
									},
								},
							},
						},
					},
				},
				Tolerations: []corev1.Toleration{
					{
						Key:      "dedicated",
						Operator: corev1.TolerationOpEqual,
						Value:    "connect",
						Effect:   corev1.TaintEffectNoSchedule,
					},
				},
				TopologySpreadConstraints: []corev1.TopologySpreadConstraint{
					{
						MaxSkew:           1,
						TopologyKey:       "zone",
						WhenUnsatisfiable: corev1.ScheduleAnyway,
						LabelSelector:     &metav1.LabelSelector{MatchLabels: map[string]string{"team": "platform"}},
					},
				},
				PriorityClassName:             "high",
				TerminationGracePeriodSeconds: ptr.To[int64](90),
				Volumes: []corev1.Volume{
					{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				},
			},
			Container: &connectv1.ContainerTemplate{
				VolumeMounts: []corev1.VolumeMount{{Name: "scratch", MountPath: "/scratch"}},
			},
		},
	}
	testkit.Golden(t, goldenFile("every-option"), planned(t, observed.State{Connector: c}, "aaaa", "bbbb")...)
}

func TestObjectsOfStrimziProposal112(t *testing.T) {
	t.Parallel()
	plan, err := decide.Connect(
		observed.ConnectState{Connect: decidetest.Connect(), Connectors: 1, Now: decidetest.Noon},
	)
	require.NoError(t, err)
	objects := add(nil, plan.Claims)
	testkit.Golden(
		t,
		goldenFile("strimzi-proposal-112"),
		append(
			objects,
			planned(
				t,
				observed.State{Connector: decidetest.Referencing("orders"), Connect: decidetest.Connect()},
				"aaaa",
			)...)...)
}

func TestStorageOfAKafkaConnectIsTheOnlyDifferenceToItsAbsence(t *testing.T) {
	t.Parallel()
	with, without := decidetest.Connect(), decidetest.Connect()
	without.Spec.Storage = nil
	pod := func(c *connectv1.KafkaConnector, connect *connectv1.KafkaConnect) string {
		s := observed.State{Connector: c, Connect: connect, Worker: decidetest.Worker(), Now: decidetest.Noon}
		plan, err := decide.Connector(s, spec.Of(s))
		require.NoError(t, err)
		return string(spec.Encode(plan.StatefulSets[0].Spec.Template.Spec))
	}
	plain := decidetest.Referencing("orders")
	plain.Spec.ConnectRef = nil
	plain.Spec.WorkerConfigSecret = decidetest.Connect().Spec.WorkerConfigSecret
	plain.Spec.Connector = &connectv1.WorkloadSpec{Image: "runner:1"}
	plain.Spec.Task = &connectv1.WorkloadSpec{Image: "runner:1"}
	plain.Spec.Template = decidetest.Connect().Spec.Template
	withoutStorage := pod(decidetest.Referencing("orders"), without)
	require.Equal(t, pod(plain, nil), withoutStorage)
	require.NotEqual(t, pod(decidetest.Referencing("orders"), with), withoutStorage)
}
