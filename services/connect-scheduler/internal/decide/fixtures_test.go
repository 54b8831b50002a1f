package decide

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/apply"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// seed is the KafkaConnector of seed 001.
func seed() *connectv1.KafkaConnector {
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
			LoggingConfig:      &connectv1.LoggingConfig{LoggerLevels: map[string]connectv1.LogLevel{"io.confluent.csid.kafka.connect.k8s.common": "TRACE"}},
			State:              connectv1.StateRunning,
			ConnectorConfig: map[string]string{
				"connector.class": "io.confluent.kafka.connect.datagen.DatagenConnector", "kafka.topic": "users", "quickstart": "users", "tasks.max": "3",
			},
		},
	}
}

func workerFacts() *SecretFacts {
	return &SecretFacts{Keys: map[string]KeyFacts{workerKey: {Hash: "worker-hash"}}}
}

// publishedBy is what a connector publishes: one config for each hash.
func publishedBy(c *connectv1.KafkaConnector, hashes ...string) *SecretFacts {
	facts := &SecretFacts{Keys: map[string]KeyFacts{}, Annotations: map[string]string{
		contract.AnnotationGeneration:      effectiveOf(c, nil).generation(),
		contract.AnnotationTaskCount:       strconv.Itoa(len(hashes)),
		contract.AnnotationTaskConfigsHash: contract.TaskConfigsHash(hashes),
	}}
	for id, hash := range hashes {
		facts.Keys[contract.TaskConfigKey(id)] = KeyFacts{Hash: hash}
	}
	return facts
}

// sim carries plans out on a fake API that knows server-side apply, and plays the StatefulSet controller.
type sim struct {
	testing.TB
	kube  kubernetes.Interface
	state State
	made  int                              // pods so far
	says  *corev1.ContainerStateTerminated // how errands end; in success where it is nil
}

func newSim(t testing.TB, s State) *sim {
	if s.Now.IsZero() {
		s.Now = noon
	}
	return &sim{TB: t, kube: fake.NewClientset(), state: s}
}

// step decides once and carries the plan out.
func (s *sim) step() Plan {
	s.Helper()
	plan, err := Connector(s.state)
	require.NoError(s, err)
	s.carryOut(plan)
	if plan.StatusChanged() {
		s.state.Connector = s.state.Connector.DeepCopy()
		s.state.Connector.Status = plan.Status
	}
	return plan
}

func (s *sim) carryOut(plan Plan) {
	ctx, ns := context.Background(), s.state.Connector.Namespace
	core, rbac, live := s.kube.CoreV1(), s.kube.RbacV1(), &s.state.Live
	put(s, core.ServiceAccounts(ns), plan.ServiceAccounts, &live.ServiceAccount)
	put(s, rbac.Roles(ns), plan.Roles, &live.Role)
	put(s, rbac.RoleBindings(ns), plan.RoleBindings, &live.RoleBinding)
	for _, want := range plan.Secrets {
		secret := &live.TaskConfigs
		switch *want.Name {
		case ConnectorName(s.state.Connector.Name):
			secret = &live.ConnectorSecret
		case CandidateName(s.state.Connector.Name):
			secret = &live.Candidate
		}
		put(s, core.Secrets(ns), append(plan.Secrets[:0:0], want), secret)
		for key, value := range (*secret).Data {
			(*secret).Data[key] = []byte(contract.TaskConfigHash(value))
		}
	}
	for _, want := range plan.ConfigMaps {
		put(s, core.ConfigMaps(ns), append(plan.ConfigMaps[:0:0], want), map[bool]**corev1.ConfigMap{true: &live.ConnectorConfig, false: &live.TaskRunnerConfig}[*want.Name == ConnectorName(s.state.Connector.Name)])
	}
	put(s, core.PersistentVolumeClaims(ns), plan.Claims, &s.state.Claim)
	put(s, s.kube.PolicyV1().PodDisruptionBudgets(ns), plan.Budgets, &live.Budget)
	for _, want := range plan.Services {
		put(s, core.Services(ns), append(plan.Services[:0:0], want), s.service(*want.Name))
	}
	for _, pod := range plan.OneShots {
		s.state.Pods = append(s.state.Pods, s.answered(*pod.Name, pod.Labels[contract.LabelOneShot], pod.Annotations[annotationRequest]))
	}
	for _, pod := range plan.FinishedOneShots {
		s.remove(pod.Name)
	}
	for _, service := range plan.Unwanted {
		require.NoError(s, apply.Delete(ctx, core.Services(ns), service))
		*s.service(service.Name) = nil
	}
	for _, want := range plan.StatefulSets {
		set := &live.TaskSet
		if *want.Name == ConnectorName(s.state.Connector.Name) {
			set = &live.ConnectorSet
		}
		put(s, s.kube.AppsV1().StatefulSets(ns), append(plan.StatefulSets[:0:0], want), set)
	}
	for _, pod := range plan.Mark {
		if pod.Annotations == nil {
			pod.Annotations = map[string]string{}
		}
		pod.Annotations[contract.ManualRollingUpdate] = "true"
	}
	for _, annotation := range plan.Done {
		delete(s.state.Connector.Annotations, annotation)
	}
	for _, restart := range plan.Restarts {
		s.remove(restart.Pod.Name)
	}
}

// answered is an errand's pod that has come back; what it says is s.says.
func (s *sim) answered(name, operation, key string) *corev1.Pod {
	s.made++
	said := s.says
	if said == nil {
		said = &corev1.ContainerStateTerminated{Message: `{"reason":"Completed","message":"done","result":{"errors":{}}}`}
	}
	phase := corev1.PodSucceeded
	if said.ExitCode != 0 {
		phase = corev1.PodFailed
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(fmt.Sprintf("one-shot-%d", s.made)), Labels: map[string]string{contract.LabelType: contract.TypeOneShot, contract.LabelOneShot: operation}, Annotations: map[string]string{annotationRequest: key}, CreationTimestamp: metav1.NewTime(noon)},
		Status:     corev1.PodStatus{Phase: phase, ContainerStatuses: []corev1.ContainerStatus{{Name: operation, State: corev1.ContainerState{Terminated: said}}}},
	}
}

func (s *sim) service(name string) **corev1.Service {
	switch name {
	case ConnectorName(s.state.Connector.Name):
		return &s.state.Live.ConnectorService
	case TasksName(s.state.Connector.Name):
		return &s.state.Live.TaskService
	}
	return &s.state.Live.TaskHeadless
}

func put[C any, O metav1.Object](s *sim, client apply.Client[C, O], wanted []C, to *O) {
	for _, want := range wanted {
		object, err := apply.Object(context.Background(), client, Manager, want)
		require.NoError(s, err)
		*to = object
	}
}

func (s *sim) remove(name string) {
	if name == CandidateName(s.state.Connector.Name) {
		s.state.Live.Candidate = nil // the garbage collector takes what the pod took along
	}
	kept := s.state.Pods[:0:0]
	for _, pod := range s.state.Pods {
		if pod.Name != name {
			kept = append(kept, pod)
		}
	}
	s.state.Pods = kept
}

// runPods does what the StatefulSet controller and kubelets do: make the pods that lack, remove those too many, all Ready.
func (s *sim) runPods() {
	s.scale(contract.TypeConnector)
	s.scale(contract.TypeTask)
}

func (s *sim) scale(kind string) {
	set := s.state.Live.TaskSet
	if kind == contract.TypeConnector {
		set = s.state.Live.ConnectorSet
	}
	if set == nil {
		return
	}
	have := podsOf(s.state.Pods, kind)
	for id := range have {
		if id >= int(*set.Spec.Replicas) {
			s.remove(fmt.Sprintf("%s-%d", set.Name, id))
		}
	}
	for id := range int(*set.Spec.Replicas) {
		if have[id] == nil {
			s.made++
			pod := readyPod(set.Name, id, kind)
			pod.Annotations = map[string]string{}
			for key, value := range set.Spec.Template.Annotations {
				pod.Annotations[key] = value
			}
			s.state.Pods = append(s.state.Pods, pod)
		}
	}
}

func readyPod(set string, index int, kind string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", set, index), Labels: map[string]string{contract.LabelType: kind}, CreationTimestamp: metav1.NewTime(noon)},
		Spec:       corev1.PodSpec{NodeName: "node-1"},
		Status: corev1.PodStatus{Phase: corev1.PodRunning,
			Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: kind, Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}},
	}
}

// runningSim is a sim in which the connector and a task for each hash run.
func runningSim(t testing.TB, c *connectv1.KafkaConnector, hashes ...string) *sim {
	s := newSim(t, State{Connector: c, Worker: workerFacts()})
	s.settle()
	s.state.TaskConfigs = publishedBy(c, hashes...)
	s.settle()
	require.Equal(t, connectv1.PhaseRunning, s.state.Connector.Status.State)
	return s
}

// settle decides and plays the cluster's part until nothing is left to do.
func (s *sim) settle() {
	s.Helper()
	for range 100 {
		plan := s.step()
		s.runPods()
		if plan.Empty() && !plan.StatusChanged() {
			return
		}
	}
	s.Fatal("the world does not settle")
}
