package decidetest

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// Noon is the time of decisions.
var Noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// Connector returns the sample KafkaConnector of the csid Connect operator.
func Connector() *connectv1.KafkaConnector {
	return &connectv1.KafkaConnector{
		ObjectMeta: metav1.ObjectMeta{Name: "test", Namespace: "kafka-connect-poc", UID: "connector-uid", Generation: 1,
			Labels: map[string]string{"project": "something", "cost-center": "boring"}},
		Spec: connectv1.KafkaConnectorSpec{
			Connector: &connectv1.WorkloadSpec{Image: "jcustenborder/connect-k8s-runner:0.1-SNAPSHOT",
				Requests: map[corev1.ResourceName]resource.Quantity{"memory": resource.MustParse("512M")}},
			Task:               &connectv1.WorkloadSpec{Image: "jcustenborder/connect-k8s-runner:0.1-SNAPSHOT"},
			ImagePullPolicy:    corev1.PullAlways,
			WorkerConfigSecret: &corev1.LocalObjectReference{Name: "worker-config"},
			DownloadPlugins:    []string{"confluentinc/kafka-connect-datagen:0.5.3"},
			LoggingConfig: &connectv1.LoggingConfig{
				LoggerLevels: map[string]connectv1.LogLevel{"io.confluent.csid.kafka.connect.k8s.common": "TRACE"},
			},
			State: connectv1.StateRunning,
			ConnectorConfig: map[string]string{
				"connector.class": "io.confluent.kafka.connect.datagen.DatagenConnector",
				"kafka.topic":     "users",
				"quickstart":      "users",
				"tasks.max":       "3",
			},
		},
	}
}

// Settings returns the default settings.
func Settings() observed.Settings {
	return observed.Settings{AllowedVolumeTypes: spec.DefaultAllowedVolumeTypes()}
}

// Worker returns the description of a valid worker Secret.
func Worker() *observed.Secret {
	return &observed.Secret{Keys: map[string]observed.SecretValue{spec.WorkerKey: {Hash: "worker-hash"}}}
}

// Published returns the description of the Secret after the connector has published a task config for each hash.
func Published(c *connectv1.KafkaConnector, hashes ...string) *observed.Secret {
	secret := &observed.Secret{Keys: map[string]observed.SecretValue{}, Annotations: map[string]string{
		contract.AnnotationGeneration:      spec.Merge(c, nil).Generation(),
		contract.AnnotationTaskCount:       strconv.Itoa(len(hashes)),
		contract.AnnotationTaskConfigsHash: contract.TaskConfigsHash(hashes),
	}}
	for id, hash := range hashes {
		secret.Keys[contract.TaskConfigKey(id)] = observed.SecretValue{Hash: hash}
	}
	return secret
}

// Hashes returns n different hashes.
func Hashes(n int) []string {
	found := make([]string, n)
	for i := range found {
		found[i] = fmt.Sprintf("hash-%d", i)
	}
	return found
}

// Large returns Connector with tasks.max n.
func Large(n int) *connectv1.KafkaConnector {
	c := Connector()
	c.Spec.ConnectorConfig["tasks.max"] = fmt.Sprint(n)
	return c
}

// Fail gives a pod the status of a pod whose container has ended with an error.
func Fail(pod *corev1.Pod, message string, restarts int32) {
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{
		{Name: pod.Labels[contract.LabelType], RestartCount: restarts,
			State: corev1.ContainerState{
				Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off"},
			},
			LastTerminationState: corev1.ContainerState{
				Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", Message: message},
			}},
	}
}

// Connect returns the KafkaConnect of Strimzi proposal 112.
func Connect() *connectv1.KafkaConnect {
	return &connectv1.KafkaConnect{
		ObjectMeta: metav1.ObjectMeta{
			Name:       "odf-connect-cluster",
			Namespace:  "kafka-connect-poc",
			UID:        "connect-uid",
			Generation: 1,
		},
		Spec: connectv1.KafkaConnectSpec{
			Image: "runner:1", WorkerConfigSecret: &corev1.LocalObjectReference{Name: "worker-config"},
			Storage: &connectv1.StorageSpec{
				Type:      "persistent-claim",
				Size:      "1Gi",
				Class:     "rook-cephfs",
				MountPath: "/mnt/shared",
			},
			Template: &connectv1.TemplateSpec{
				WorkloadTemplate: connectv1.WorkloadTemplate{
					Pod: &connectv1.PodTemplate{
						SecurityContext: &corev1.PodSecurityContext{
							RunAsNonRoot: ptr.To(false),
							FSGroup:      ptr.To[int64](1001),
						},
					},
				},
			},
		},
	}
}

// Referencing returns a connector that takes all defaults from Connect.
func Referencing(name string) *connectv1.KafkaConnector {
	return &connectv1.KafkaConnector{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "kafka-connect-poc", UID: "connector-uid", Generation: 1},
		Spec: connectv1.KafkaConnectorSpec{ConnectRef: &corev1.LocalObjectReference{Name: "odf-connect-cluster"},
			ConnectorConfig: map[string]string{"connector.class": "FileStreamSink", "topics": "orders"}},
	}
}
