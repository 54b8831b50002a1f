package decide

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
)

// planned are all the objects that are made, once the connector has published a config for each hash and there is a StatefulSet
// to be brought up to date.
func planned(t *testing.T, s State, hashes ...string) []any {
	t.Helper()
	s.Now = noon
	s.Worker = workerFacts()
	s.TaskConfigs = publishedBy(s.Connector, hashes...)
	s.Live.TaskSet = &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: TasksName(s.Connector.Name),
		OwnerReferences: []metav1.OwnerReference{{Kind: "KafkaConnector", Name: s.Connector.Name, UID: s.Connector.UID, Controller: ptr.To(true)}}}}
	plan, err := Connector(s)
	require.NoError(t, err)
	var all []any
	all = add(all, plan.ServiceAccounts)
	all = add(all, plan.Roles)
	all = add(all, plan.RoleBindings)
	all = add(all, plan.Secrets)
	all = add(all, plan.ConfigMaps)
	all = add(all, plan.Claims)
	all = add(all, plan.Budgets)
	all = add(all, plan.Services)
	return add(all, plan.StatefulSets)
}

func add[T any](all []any, more []T) []any {
	for _, one := range more {
		all = append(all, one)
	}
	return all
}

func goldenFile(name string) string { return "../../testdata/golden/" + name + ".yaml" }

func TestTheObjectsOfSeed001(t *testing.T) {
	t.Parallel()
	testkit.Golden(t, goldenFile("csid-sample"), planned(t, State{Connector: seed()}, "aaaa", "bbbb", "cccc")...)
}

func TestTheObjectsOfEveryOption(t *testing.T) {
	t.Parallel()
	c := seed()
	c.Spec.TasksMax = ptr.To[int32](2)
	c.Spec.MaxUnavailable = ptr.To(intstr.FromInt32(1))
	c.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}}
	c.Spec.Connector.ServiceSpec = &corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8085)}}}
	c.Spec.Task.ServiceSpec = &corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "syslog", Port: 5454, NodePort: 30054}}}
	c.Spec.Plugins = []connectv1.Plugin{{Name: "jdbc", Image: "registry.example.com/jdbc:1"}, {Name: "s3", URL: "https://example.com/s3.zip", SHA512: strings.Repeat("ab", 64)}}
	c.Spec.LoggingConfig.File = "connect.log"
	c.Spec.Storage = &connectv1.StorageSpec{Size: "1Gi", Class: "rook-cephfs", MountPath: "/mnt/shared", AccessMode: corev1.ReadWriteOnce, SubPath: "$(CONNECTOR_NAME)/$(POD_NAME)"}
	c.Spec.Template = &connectv1.TemplateSpec{
		WorkloadTemplate: connectv1.WorkloadTemplate{
			Metadata:  &connectv1.TemplateMetadata{Labels: map[string]string{"team": "platform"}, Annotations: map[string]string{"note": "all"}},
			Pod:       &connectv1.PodTemplate{SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(false), FSGroup: ptr.To[int64](1001)}, NodeSelector: map[string]string{"disk": "ssd"}},
			Container: &connectv1.ContainerTemplate{Env: []corev1.EnvVar{{Name: "TZ", Value: "UTC"}}, JVMOptions: []string{"-Xlog:gc*:file=/mnt/shared/gc-$(POD_NAME).log"}},
		},
		Connector: &connectv1.WorkloadTemplate{Container: &connectv1.ContainerTemplate{Env: []corev1.EnvVar{{Name: "TZ", Value: "CET"}}}},
		Task: &connectv1.WorkloadTemplate{
			Metadata: &connectv1.TemplateMetadata{Annotations: map[string]string{"note": "task"}},
			Pod: &connectv1.PodTemplate{
				Affinity:                      &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone", Operator: corev1.NodeSelectorOpExists}}}}}}},
				Tolerations:                   []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpEqual, Value: "connect", Effect: corev1.TaintEffectNoSchedule}},
				TopologySpreadConstraints:     []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: "zone", WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "platform"}}}},
				PriorityClassName:             "high",
				TerminationGracePeriodSeconds: ptr.To[int64](90),
				Volumes:                       []corev1.Volume{{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
			},
			Container: &connectv1.ContainerTemplate{VolumeMounts: []corev1.VolumeMount{{Name: "scratch", MountPath: "/scratch"}}},
		},
	}
	testkit.Golden(t, goldenFile("every-option"), planned(t, State{Connector: c}, "aaaa", "bbbb")...)
}

// odf is the KafkaConnect of seed 000.
func odf() *connectv1.KafkaConnect {
	return &connectv1.KafkaConnect{
		ObjectMeta: metav1.ObjectMeta{Name: "odf-connect-cluster", Namespace: "kafka-connect-poc", UID: "connect-uid", Generation: 1},
		Spec: connectv1.KafkaConnectSpec{
			Image: "runner:1", WorkerConfigSecret: &corev1.LocalObjectReference{Name: "worker-config"},
			Storage:  &connectv1.StorageSpec{Type: "persistent-claim", Size: "1Gi", Class: "rook-cephfs", MountPath: "/mnt/shared"},
			Template: &connectv1.TemplateSpec{WorkloadTemplate: connectv1.WorkloadTemplate{Pod: &connectv1.PodTemplate{SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(false), FSGroup: ptr.To[int64](1001)}}}},
		},
	}
}

// referring is a connector that takes all it can from the KafkaConnect of seed 000.
func referring(name string) *connectv1.KafkaConnector {
	return &connectv1.KafkaConnector{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "kafka-connect-poc", UID: "connector-uid", Generation: 1},
		Spec: connectv1.KafkaConnectorSpec{ConnectRef: &corev1.LocalObjectReference{Name: "odf-connect-cluster"},
			ConnectorConfig: map[string]string{"connector.class": "FileStreamSink", "topics": "orders"}},
	}
}

func TestTheObjectsOfSeed000(t *testing.T) {
	t.Parallel()
	plan, err := Connect(ConnectState{Connect: odf(), Connectors: 1, Now: noon})
	require.NoError(t, err)
	objects := add(nil, plan.Claims)
	testkit.Golden(t, goldenFile("strimzi-proposal-112"), append(objects, planned(t, State{Connector: referring("orders"), Connect: odf()}, "aaaa")...)...)
}

func TestWithoutStoragePodsAreAsTheyWereToTheByte(t *testing.T) {
	t.Parallel()
	with, without := odf(), odf()
	without.Spec.Storage = nil
	sets := func(connect *connectv1.KafkaConnect) string {
		s := State{Connector: referring("orders"), Connect: connect, Worker: workerFacts(), Now: noon}
		e := effectiveOf(s.Connector, s.Connect)
		k, _ := e.kinds("orders")
		return string(encode(podSpec(s, e, k)))
	}
	plain := referring("orders")
	plain.Spec.ConnectRef = nil
	plain.Spec.WorkerConfigSecret = odf().Spec.WorkerConfigSecret
	plain.Spec.Connector, plain.Spec.Task = &connectv1.WorkloadSpec{Image: "runner:1"}, &connectv1.WorkloadSpec{Image: "runner:1"}
	plain.Spec.Template = odf().Spec.Template
	s := State{Connector: plain, Worker: workerFacts(), Now: noon}
	e := effectiveOf(plain, nil)
	k, _ := e.kinds("orders")
	require.Equal(t, string(encode(podSpec(s, e, k))), sets(without))
	require.NotEqual(t, sets(with), sets(without))
}
