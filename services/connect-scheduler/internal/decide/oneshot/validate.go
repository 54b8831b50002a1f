package oneshot

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// Validate lets the connector plugin validate a new connectorConfig before running pods are changed. It returns a
// finding while the plugin has not accepted the configuration. A new connector needs no separate validation, nor does
// a new image or plugin: the connector's own pod reports the errors.
//
// key identifies the new connectorConfig, see spec.Effective.
func (w *Operations) Validate(key string) *spec.Finding {
	accepted, pod := w.current.Recorded.ConfigKey, w.pod(contract.OneShotValidate)
	if accepted == "" || accepted == key {
		w.cancel(pod)
		return nil
	}
	result, failure := w.run(desired.OneShot{
		Operation: contract.OneShotValidate, Request: key, Candidate: true,
		Args: []string{
			"validate",
			"--connector-config", path.Join(desired.InputDir, path.Base(contract.ConnectorConfigFile)),
			"--runner-config", path.Join(desired.InputDir, path.Base(contract.RunnerConfigFile)),
		},
	})
	if pod != nil && pod.DeletionTimestamp == nil && pod.Request == key {
		if finding := w.addCandidate(pod.Pod); finding != nil {
			return finding
		}
	}
	switch {
	case failure != "":
		return validationFailed(failure)
	case result == nil && isRetry(pod):
		return validationFailed(fmt.Sprintf("attempt %d is running%s", pod.Attempt, lastError(pod)))
	case result == nil:
		return &spec.Finding{
			Reason: connectv1.ReasonValidating,
			Message: "the connector plugin is validating the new connectorConfig; running pods are unchanged" +
				lastError(pod),
		}
	case result.ExitCode == 0:
		return nil
	}
	return &spec.Finding{Reason: connectv1.ReasonConfigRejected, Message: rejection(*result)}
}

func validationFailed(failure string) *spec.Finding {
	return &spec.Finding{
		Reason:  connectv1.ReasonValidationFailed,
		Message: "validation of the new connectorConfig failed; running pods are unchanged: " + failure,
	}
}

// addCandidate writes the Secret with the configuration under validation.
func (w *Operations) addCandidate(pod *corev1.Pod) *spec.Finding {
	live := w.current.Candidate
	if live == nil {
		w.Candidates = append(w.Candidates, w.objects.CandidateSecret(pod))
		return nil
	}
	owner := metav1.GetControllerOf(live)
	switch {
	case owner != nil && owner.UID == pod.UID:
		return nil
	case live.Labels[contract.LabelManagedBy] == observed.Manager:
		return &spec.Finding{Reason: connectv1.ReasonValidating, Message: fmt.Sprintf(
			"waiting for the deletion of Secret %s of the previous validation", live.Name)}
	}
	return &spec.Finding{Reason: connectv1.ReasonNameConflict, Message: fmt.Sprintf(
		"Secret %s exists and is not managed by %s, but validation needs this name; rename or delete it",
		live.Name, observed.Manager)}
}

// rejection returns the errors of the plugin by field.
func rejection(r observed.Result) string {
	var validation contract.ValidationResult
	if err := json.Unmarshal(r.Result, &validation); err != nil || len(validation.Errors) == 0 {
		return "the connector plugin rejected the new connectorConfig; running pods are unchanged: " + r.Message
	}
	var fields []string
	for field, messages := range validation.Errors {
		fields = append(fields, fmt.Sprintf("spec.connectorConfig.%s: %s", field, strings.Join(messages, ", ")))
	}
	slices.Sort(fields)
	return strings.Join(fields, "; ") + " (running pods are unchanged)"
}
