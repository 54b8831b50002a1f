package desired

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// InputDir is the directory in which a one-shot pod mounts its input.
const InputDir = "/etc/weir/candidate"

// OneShot describes a pod that runs one operation of connect-runner and ends.
type OneShot struct {
	// Operation is one of the values of contract.LabelOneShot.
	Operation string
	// Request identifies the request. A pod with another request is obsolete.
	Request string
	// Args of the container.
	Args []string
	// Candidate mounts the candidate Secret in InputDir.
	Candidate bool
	// ConfigMap is the name of a ConfigMap that is mounted in InputDir. It is optional.
	ConfigMap string
	// Attempt is the number of the attempt if it is not the first one.
	Attempt int
}

// OneShotPod returns the pod of a one-shot operation: the pod of the connector without restarts, probes, ports and API
// token. Only the validation uses the pod of a new spec; other operations use that of the accepted spec.
func (b Builder) OneShotPod(o OneShot) *corev1ac.PodApplyConfiguration {
	c, pod := b.state.Connector, acceptedPod(b.state)
	if pod == nil || o.Candidate {
		pod = b.connector.podSpec()
	}
	container := &pod.Containers[0]
	container.WithName(o.Operation)
	container.Args = o.Args
	container.StartupProbe, container.LivenessProbe, container.ReadinessProbe, container.Ports = nil, nil, nil, nil
	if o.Candidate {
		// The pod reads the files of the candidate Secret. Those of the connector may not exist: an older version kept
		// runner.json in a ConfigMap.
		pod.Volumes[slices.IndexFunc(pod.Volumes, isRunnerSecret)].Secret.WithOptional(true)
	}
	pod.WithRestartPolicy(corev1.RestartPolicyNever).WithAutomountServiceAccountToken(false)
	pod.ServiceAccountName = nil
	var input *corev1ac.VolumeApplyConfiguration
	switch {
	case o.Candidate:
		input = secretVolume(volumeCandidate, observed.CandidateName(c.Name))
	case o.ConfigMap != "":
		input = configMapVolume(volumeCandidate, o.ConfigMap)
	}
	if input != nil {
		pod.WithVolumes(input)
		container.WithVolumeMounts(
			corev1ac.VolumeMount().WithName(volumeCandidate).WithMountPath(InputDir).WithReadOnly(true))
	}
	annotations := map[string]string{observed.AnnotationRequest: o.Request}
	if o.Attempt > 1 {
		annotations[observed.AnnotationAttempt] = strconv.Itoa(o.Attempt)
	}
	return corev1ac.Pod(observed.OneShotName(c.Name, o.Operation), c.Namespace).
		WithLabels(Labels(c, contract.TypeOneShot)).
		WithLabels(map[string]string{contract.LabelOneShot: o.Operation}).
		WithAnnotations(annotations).
		WithOwnerReferences(OwnerReference(observed.ConnectorOwner(c))).
		WithSpec(pod)
}

// CandidateSecret returns the Secret with the configuration under validation. The one-shot pod owns it, so the garbage
// collector deletes both together.
func (b Builder) CandidateSecret(owner *corev1.Pod) *corev1ac.SecretApplyConfiguration {
	c := b.state.Connector
	return corev1ac.Secret(observed.CandidateName(c.Name), c.Namespace).
		WithLabels(Labels(c, contract.TypeOneShot)).
		WithOwnerReferences(metav1ac.OwnerReference().
			WithAPIVersion("v1").WithKind("Pod").WithName(owner.Name).WithUID(owner.UID).WithController(true)).
		WithData(map[string][]byte{
			keyConnector: spec.Encode(b.spec.ConnectorConfig),
			keyRunner:    spec.Encode(b.connector.runnerConfig()),
		})
}
