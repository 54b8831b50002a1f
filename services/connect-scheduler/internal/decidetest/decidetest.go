// Package decidetest tests decisions: Env carries out plans and plays the API server and the StatefulSet controller.
package decidetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// Env carries out plans. It plays the API server, with server-side apply, and the StatefulSet controller.
type Env struct {
	testing.TB
	// State is the input of the next decision. Each step sets State.Pods from Pods.
	State observed.State
	// Pods are the pods in the cluster.
	Pods []*corev1.Pod
	made int // number of created pods
	// connectorFiles are the values of the Secret `<connector>-connector`, of which State has the hashes.
	connectorFiles map[string][]byte
	// Termination is the state in which one-shot pods end. The default is success.
	Termination *corev1.ContainerStateTerminated
}

// New returns an Env without objects.
func New(t testing.TB, s observed.State) *Env {
	if s.Settings.AllowedVolumeTypes == nil {
		s.Settings = Settings()
	}
	if s.Now.IsZero() {
		s.Now = Noon
	}
	return &Env{TB: t, State: s}
}

// Step decides once and carries out the plan.
func (s *Env) Step() decide.Plan {
	s.Helper()
	e := spec.Of(s.State)
	s.State.AcceptedConfig, s.State.AcceptedFiles = nil, nil
	if desired.NewBuilder(s.State, e).NeedsAcceptedConfig() {
		s.State.AcceptedFiles = s.ConnectorFiles()
		require.NoError(s, json.Unmarshal(s.State.AcceptedFiles["connector.json"], &s.State.AcceptedConfig))
	}
	s.State.Pods = observed.NewPods(s.State.Connector.Name, s.Pods)
	s.State.Comparisons = comparisons
	for _, object := range s.State.Objects.Managed() {
		setVersion(s, object.Object)
	}
	if s.State.Claim != nil {
		setVersion(s, s.State.Claim)
	}
	plan, err := decide.Connector(s.State, e)
	require.NoError(s, err)
	s.CarryOut(plan)
	if plan.StatusChanged() {
		s.State.Connector = s.State.Connector.DeepCopy()
		s.State.Connector.Status = plan.Status
	}
	return plan
}

// CarryOut carries out a plan.
func (s *Env) CarryOut(plan decide.Plan) {
	live := &s.State.Objects
	put(s, plan.ServiceAccounts, &live.ServiceAccount)
	put(s, plan.Roles, &live.Role)
	put(s, plan.RoleBindings, &live.RoleBinding)
	for _, want := range slices.Concat(plan.Secrets, plan.OneShots.Candidates) {
		secret := &live.TaskConfigs
		switch *want.Name {
		case observed.ConnectorName(s.State.Connector.Name):
			secret = &live.ConnectorSecret
		case observed.CandidateName(s.State.Connector.Name):
			secret = &live.Candidate
		}
		s.applySecret(want, secret)
	}
	for _, configMap := range plan.ObsoleteConfigMaps {
		live.ConfigMaps = slices.DeleteFunc(live.ConfigMaps, func(c *corev1.ConfigMap) bool { return c == configMap })
	}
	put(s, plan.Claims, &s.State.Claim)
	put(s, plan.Budgets, &live.Budget)
	for _, want := range plan.Services {
		put(s, append(plan.Services[:0:0], want), s.service(*want.Name))
	}
	for _, pod := range plan.OneShots.FinishedOneShots {
		s.Remove(pod.Name)
	}
	for _, pod := range plan.OneShots.OneShots {
		s.Pods = append(
			s.Pods,
			s.answered(*pod.Name, pod.Labels[contract.LabelOneShot], pod.Annotations),
		)
	}
	for _, service := range plan.ObsoleteServices {
		*s.service(service.Name) = nil
	}
	for _, want := range plan.StatefulSets {
		set := &live.TaskSet
		if *want.Name == observed.ConnectorName(s.State.Connector.Name) {
			set = &live.ConnectorSet
		}
		put(s, append(plan.StatefulSets[:0:0], want), set)
	}
	for _, pod := range plan.Mark {
		if pod.Annotations == nil {
			pod.Annotations = map[string]string{}
		}
		pod.Annotations[contract.ManualRollingUpdate] = "true"
	}
	for _, change := range plan.Metadata {
		for key, value := range change.Labels {
			delete(change.Pod.Labels, key)
			if value != nil {
				change.Pod.Labels[key] = *value
			}
		}
		maps.Copy(change.Pod.Annotations, change.Annotations)
	}
	for _, annotation := range plan.Done {
		delete(s.State.Connector.Annotations, annotation)
	}
	for _, restart := range plan.Restarts {
		s.Remove(restart.Pod.Name)
	}
}

// answered returns a finished one-shot pod. Its result is Termination.
func (s *Env) answered(name, operation string, annotations map[string]string) *corev1.Pod {
	s.made++
	said := s.Termination
	if said == nil {
		said = &corev1.ContainerStateTerminated{
			Message: `{"reason":"Completed","message":"done","result":{"errors":{}}}`,
		}
	}
	phase := corev1.PodSucceeded
	if said.ExitCode != 0 {
		phase = corev1.PodFailed
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			UID:  types.UID(fmt.Sprintf("one-shot-%d", s.made)),
			Labels: map[string]string{
				contract.LabelType:    contract.TypeOneShot,
				contract.LabelOneShot: operation,
			},
			Annotations:       annotations,
			CreationTimestamp: metav1.NewTime(s.State.Now),
		},
		Status: corev1.PodStatus{
			Phase: phase,
			ContainerStatuses: []corev1.ContainerStatus{
				{Name: operation, State: corev1.ContainerState{Terminated: said}},
			},
		},
	}
}

func (s *Env) service(name string) **corev1.Service {
	switch name {
	case observed.ConnectorName(s.State.Connector.Name):
		return &s.State.Objects.ConnectorService
	case observed.TasksName(s.State.Connector.Name):
		return &s.State.Objects.TaskService
	}
	return &s.State.Objects.TaskHeadless
}

// applySecret applies a Secret. Like the cache, live has the hashes of its values.
func (s *Env) applySecret(want *corev1ac.SecretApplyConfiguration, live **corev1.Secret) {
	put(s, []*corev1ac.SecretApplyConfiguration{want}, live)
	if live == &s.State.Objects.ConnectorSecret {
		s.connectorFiles = want.Data
	}
	for key, value := range (*live).Data {
		(*live).Data[key] = []byte(contract.TaskConfigHash(value))
	}
}

// ConnectorFiles returns the values of the Secret `<connector>-connector`.
func (s *Env) ConnectorFiles() map[string][]byte { return s.connectorFiles }

// Remove deletes a pod.
func (s *Env) Remove(name string) {
	if name == observed.CandidateName(s.State.Connector.Name) {
		s.State.Objects.Candidate = nil // the garbage collector deletes the Secret of the pod
	}
	kept := s.Pods[:0:0]
	for _, pod := range s.Pods {
		if pod.Name != name {
			kept = append(kept, pod)
		}
	}
	s.Pods = kept
}

// Pod returns a pod by its name.
func (s *Env) Pod(name string) *corev1.Pod {
	s.Helper()
	for _, pod := range s.Pods {
		if pod.Name == name {
			return pod
		}
	}
	s.Fatalf("pod %s not found", name)
	return nil
}

// Task returns the pod of a task, or nil.
func (s *Env) Task(id int) *corev1.Pod {
	if pod := s.pods().Tasks[id]; pod != nil {
		return pod.Pod
	}
	return nil
}

// TaskHash returns the hash of the task config for which the pod of a task was created.
func (s *Env) TaskHash(id int) string { return s.pods().Tasks[id].TaskHash }

// Tasks returns the number of task pods.
func (s *Env) Tasks() int { return len(s.pods().Tasks) }

// Workload returns the number of pods of the connector and its tasks.
func (s *Env) Workload() int { return len(s.pods().Workload) }

// OneShot returns the pod of a one-shot operation, or nil.
func (s *Env) OneShot(operation string) *corev1.Pod {
	if pod := s.pods().OneShots[operation]; pod != nil {
		return pod.Pod
	}
	return nil
}

func (s *Env) pods() observed.Pods { return observed.NewPods(s.State.Connector.Name, s.Pods) }

// RunPods plays the StatefulSet controller and the kubelets: it creates missing pods as ready and deletes surplus pods.
func (s *Env) RunPods() {
	s.scale(contract.TypeConnector)
	s.scale(contract.TypeTask)
}

func (s *Env) scale(kind string) {
	set := s.State.Objects.TaskSet
	if kind == contract.TypeConnector {
		set = s.State.Objects.ConnectorSet
	}
	if set == nil {
		return
	}
	have := s.pods().Tasks
	if kind == contract.TypeConnector {
		have = map[int]*observed.Pod{}
		if pod := s.pods().Connector; pod != nil {
			have[0] = pod
		}
	}
	for id := range have {
		if id >= int(*set.Spec.Replicas) {
			s.Remove(fmt.Sprintf("%s-%d", set.Name, id))
		}
	}
	for id := range int(*set.Spec.Replicas) {
		if have[id] == nil {
			s.made++
			pod := ReadyPod(set.Name, id, kind)
			pod.UID = types.UID(fmt.Sprintf("pod-%d", s.made))
			pod.Annotations = map[string]string{}
			maps.Copy(pod.Annotations, set.Spec.Template.Annotations)
			maps.Copy(pod.Labels, set.Spec.Template.Labels)
			s.Pods = append(s.Pods, pod)
		}
	}
}

// ReadyPod returns a ready pod of a StatefulSet.
func ReadyPod(set string, index int, kind string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:              fmt.Sprintf("%s-%d", set, index),
			Labels:            map[string]string{contract.LabelType: kind},
			CreationTimestamp: metav1.NewTime(Noon),
		},
		Spec: corev1.PodSpec{NodeName: "node-1"},
		Status: corev1.PodStatus{Phase: corev1.PodRunning,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{
				{Name: kind, Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
			}},
	}
}

// Running returns an Env in which the connector and a task for each hash run.
func Running(t testing.TB, c *connectv1.KafkaConnector, hashes ...string) *Env {
	s := New(t, observed.State{Connector: c, Worker: Worker()})
	s.Settle()
	s.State.TaskConfigs = Published(c, hashes...)
	s.Settle()
	require.Equal(t, connectv1.PhaseRunning, s.State.Connector.Status.State)
	return s
}

// Settle decides and plays the cluster until the plan is empty.
func (s *Env) Settle() {
	s.Helper()
	for range 100 {
		plan := s.Step()
		s.RunPods()
		if plan.Empty() && !plan.StatusChanged() {
			return
		}
	}
	s.Fatal("the plan does not become empty")
}

// Condition returns the condition of a type.
func Condition(t testing.TB, conditions []metav1.Condition, kind string) metav1.Condition {
	t.Helper()
	for _, c := range conditions {
		if c.Type == kind {
			return c
		}
	}
	t.Fatalf("condition %s not found", kind)
	return metav1.Condition{}
}

// ApplyClaim applies a claim and returns it.
func (s *Env) ApplyClaim(want *corev1ac.PersistentVolumeClaimApplyConfiguration) *corev1.PersistentVolumeClaim {
	var claim *corev1.PersistentVolumeClaim
	put(s, []*corev1ac.PersistentVolumeClaimApplyConfiguration{want}, &claim)
	return claim
}
