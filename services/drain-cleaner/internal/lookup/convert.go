package lookup

import (
	"encoding/json"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// trimPod is the transform of the pod caches. It keeps the fields that convertPod reads.
func trimPod(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	trimmed := &corev1.Pod{
		ObjectMeta: trimMeta(pod.ObjectMeta, contract.ManualRollingUpdate, contract.AnnotationDrain),
	}
	trimmed.Spec.NodeName = pod.Spec.NodeName
	for _, v := range pod.Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			source := corev1.VolumeSource{PersistentVolumeClaim: v.PersistentVolumeClaim}
			trimmed.Spec.Volumes = append(trimmed.Spec.Volumes, corev1.Volume{Name: v.Name, VolumeSource: source})
		}
	}
	trimmed.Status.Phase, trimmed.Status.PodIP = pod.Status.Phase, pod.Status.PodIP
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			trimmed.Status.Conditions = append(trimmed.Status.Conditions, c)
		}
	}
	return trimmed, nil
}

// trimNode keeps the fields that convertNode reads, and the labels for the node affinity of volumes.
func trimNode(object any) (any, error) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	return &corev1.Node{
		ObjectMeta: trimMeta(node.ObjectMeta),
		Spec:       corev1.NodeSpec{Unschedulable: node.Spec.Unschedulable, Taints: node.Spec.Taints},
	}, nil
}

// trimBudget keeps the fields that budgetsOf reads.
func trimBudget(object any) (any, error) {
	budget, ok := object.(*policyv1.PodDisruptionBudget)
	if !ok {
		return object, nil
	}
	trimmed := &policyv1.PodDisruptionBudget{
		ObjectMeta: trimMeta(budget.ObjectMeta), Spec: budget.Spec, Status: budget.Status,
	}
	trimmed.Generation = budget.Generation
	trimmed.Status.DisruptedPods, trimmed.Status.Conditions = nil, nil
	return trimmed, nil
}

func trimMeta(m metav1.ObjectMeta, annotations ...string) metav1.ObjectMeta {
	trimmed := metav1.ObjectMeta{
		Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion,
		Labels: m.Labels, DeletionTimestamp: m.DeletionTimestamp, CreationTimestamp: m.CreationTimestamp,
	}
	for _, key := range annotations {
		if value, ok := m.Annotations[key]; ok {
			metav1.SetMetaDataAnnotation(&trimmed, key, value)
		}
	}
	return trimmed
}

func convertPod(pod *corev1.Pod) *decide.Pod {
	p := &decide.Pod{
		Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, Labels: pod.Labels,
		RollRequested: pod.Annotations[contract.ManualRollingUpdate] == "true",
		Node:          pod.Spec.NodeName, IP: pod.Status.PodIP, Phase: pod.Status.Phase,
		Terminating: pod.DeletionTimestamp != nil,
	}
	p.DrainSince, p.DrainLast, p.Attempts = parseDrainRequest(pod.Annotations[contract.AnnotationDrain])
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			p.ReadySince = c.LastTransitionTime.Time
		}
	}
	for _, v := range pod.Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			p.Claims = append(p.Claims, v.PersistentVolumeClaim.ClaimName)
		}
	}
	return p
}

// parseDrainRequest parses the annotation. An invalid value counts as missing and is overwritten.
func parseDrainRequest(value string) (since, last time.Time, attempts int32) {
	var r contract.DrainRequest
	if value == "" || json.Unmarshal([]byte(value), &r) != nil {
		return time.Time{}, time.Time{}, 0
	}
	since, errSince := time.Parse(time.RFC3339, r.Since)
	last, errLast := time.Parse(time.RFC3339, r.Last)
	if errSince != nil || errLast != nil || last.Before(since) {
		return time.Time{}, time.Time{}, 0
	}
	return since, last, max(r.Attempts, 0)
}

func convertNode(node *corev1.Node) decide.Node {
	n := decide.Node{Name: node.Name, Unschedulable: node.Spec.Unschedulable}
	for _, taint := range node.Spec.Taints {
		n.Tainted = n.Tainted || taint.Effect == corev1.TaintEffectNoSchedule || taint.Effect == corev1.TaintEffectNoExecute
	}
	return n
}

func convertBudget(b *policyv1.PodDisruptionBudget) decide.Budget {
	unhealthy := b.Spec.UnhealthyPodEvictionPolicy
	return decide.Budget{
		Name: b.Name, Allowed: b.Status.DisruptionsAllowed, Healthy: b.Status.CurrentHealthy,
		Desired: b.Status.DesiredHealthy, Expected: b.Status.ExpectedPods,
		Stale:       b.Status.ObservedGeneration < b.Generation,
		AlwaysAllow: unhealthy != nil && *unhealthy == policyv1.AlwaysAllow,
	}
}

func convertConnector(c *connectv1.KafkaConnector) *decide.Connector {
	found := &decide.Connector{Namespace: c.Namespace, Name: c.Name}
	if own := c.Status.Connector; own != nil {
		found.Units = append(found.Units, decide.Unit{
			Name: "the connector", Pod: own.Pod, State: own.State, Restarts: own.Restarts,
		})
	}
	for _, task := range c.Status.Tasks {
		if task.State == connectv1.PodAbsent && task.ID >= c.Status.TasksDesired {
			// The task is not meant to run, for example because the connector is paused.
			continue
		}
		found.Units = append(found.Units, decide.Unit{
			Name: "task " + strconv.Itoa(int(task.ID)), Pod: task.Pod, State: task.State, Restarts: task.Restarts,
		})
	}
	return found
}
