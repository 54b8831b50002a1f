package fakerunner

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/controller"
)

// answer ends an errand's pod as connect-runner does: with exit code 0, or 10 for a configuration that the plugin refuses.
func (r *runner) answer(ctx context.Context, key controller.Key, errand string) error {
	pod, err := r.pods.Pods(key.Namespace).Get(key.Name + "-" + errand)
	if err != nil || pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
		return nil //nolint:nilerr // no pod, nothing to play
	}
	var result any = contract.OffsetsResult{Message: errand + " done"}
	code := int32(0)
	switch errand {
	case "validate":
		config, err := r.configOf(ctx, key.Namespace, pod.Name)
		if apierrors.IsNotFound(err) {
			return err // a kubelet waits for the Secret, too
		}
		if err != nil {
			return err
		}
		refused := map[string][]string{}
		if message := config[keyInvalid]; message != "" {
			refused[keyInvalid], code = []string{message}, 10
		}
		result = contract.ValidationResult{Errors: refused}
	case "offsets":
		result = contract.OffsetsResult{Offsets: []contract.ConnectorOffset{{Partition: json.RawMessage(`{"filename":"/a"}`), Offset: json.RawMessage(`{"position":42}`)}}}
	}
	return r.end(ctx, pod, code, result)
}

func (r *runner) end(ctx context.Context, pod *corev1.Pod, code int32, result any) error {
	encoded, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("encode the result of %s: %w", pod.Name, err)
	}
	said := contract.Termination{Reason: contract.ReasonCompleted, Message: "done", Result: encoded}
	phase := corev1.PodSucceeded
	if code != 0 {
		said.Reason, said.Message, phase = contract.ReasonConfigInvalid, "the configuration is invalid", corev1.PodFailed
	}
	message, err := json.Marshal(said)
	if err != nil {
		return fmt.Errorf("encode the termination message of %s: %w", pod.Name, err)
	}
	return update(ctx, r.kube, pod.Namespace, pod.Name, func(p *corev1.Pod, c *corev1.ContainerStatus) {
		p.Status.Phase = phase
		c.Ready = false
		c.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: "Completed", Message: string(message)}}
		setReady(p, corev1.ConditionFalse)
	})
}
