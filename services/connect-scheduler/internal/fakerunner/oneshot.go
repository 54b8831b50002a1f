package fakerunner

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/controller"
)

// oneShots are the operations that connect-scheduler runs in one-shot pods.
var oneShots = []string{
	contract.OneShotValidate, contract.OneShotFence, contract.OneShotMembers, contract.OneShotOffsets,
}

// exitConfigInvalid is connect-runner's exit code for a configuration that the plugin rejects.
const exitConfigInvalid = 10

// finishOneShot gives a running one-shot pod the status and the result that connect-runner would give it.
func (r *runner) finishOneShot(ctx context.Context, key controller.Key, operation string) error {
	pod, err := r.pods.Pods(key.Namespace).Get(key.Name + "-" + operation)
	if err != nil || pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
		return nil //nolint:nilerr // the pod's next event starts a reconcile
	}
	switch operation {
	case contract.OneShotValidate:
		config, err := r.readConfig(ctx, key.Namespace, pod.Name)
		if apierrors.IsNotFound(err) {
			return err // the kubelet waits for the Secret too
		}
		if err != nil {
			return err
		}
		if _, isRetry := pod.Annotations["weir.dev/one-shot-attempt"]; config[keyValidationFails] != "" && !isRetry {
			return r.fail(ctx, pod, contract.Termination{
				Reason: contract.ReasonKafkaUnreachable, Message: config[keyValidationFails],
			})
		}
		if message := config[keyInvalid]; message != "" {
			rejected := map[string][]string{keyInvalid: {message}}
			return r.finish(ctx, pod, exitConfigInvalid, contract.ValidationResult{Errors: rejected})
		}
		return r.finish(ctx, pod, 0, contract.ValidationResult{Errors: map[string][]string{}})
	case contract.OneShotOffsets:
		offset := contract.ConnectorOffset{
			Partition: json.RawMessage(`{"filename":"/a"}`), Offset: json.RawMessage(`{"position":42}`),
		}
		return r.finish(ctx, pod, 0, contract.OffsetsResult{Offsets: []contract.ConnectorOffset{offset}})
	default:
		return r.finish(ctx, pod, 0, contract.OffsetsResult{Message: operation + " done"})
	}
}

// finish gives a one-shot pod the status of a pod whose container ended with this exit code and result.
func (r *runner) finish(ctx context.Context, pod *corev1.Pod, code int32, result any) error {
	encoded, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("encode the result of pod %s: %w", pod.Name, err)
	}
	termination := contract.Termination{Reason: contract.ReasonCompleted, Message: "done", Result: encoded}
	if code != 0 {
		termination.Reason, termination.Message = contract.ReasonConfigInvalid, "the configuration is invalid"
	}
	return r.terminate(ctx, pod, code, termination)
}

// fail gives a one-shot pod the status of a pod whose container ended with this error.
func (r *runner) fail(ctx context.Context, pod *corev1.Pod, termination contract.Termination) error {
	return r.terminate(ctx, pod, 1, termination)
}

func (r *runner) terminate(ctx context.Context, pod *corev1.Pod, code int32, termination contract.Termination) error {
	phase := corev1.PodSucceeded
	if code != 0 {
		phase = corev1.PodFailed
	}
	message, err := json.Marshal(termination)
	if err != nil {
		return fmt.Errorf("encode the termination message of pod %s: %w", pod.Name, err)
	}
	return update(ctx, r.kube, pod.Namespace, pod.Name, func(p *corev1.Pod, c *corev1.ContainerStatus) {
		p.Status.Phase = phase
		c.Ready = false
		c.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: code, Reason: "Completed", Message: string(message), FinishedAt: metav1.Now(),
		}}
		setReady(p, corev1.ConditionFalse)
	})
}
