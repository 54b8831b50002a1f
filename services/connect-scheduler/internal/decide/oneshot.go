package decide

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
)

// An errand is a pod that runs connect-runner once, to ask a plugin something or to do something to its offsets. It is
// there for one question, which its annotation identifies, and is deleted when the answer has been taken in.

const (
	// annotationRequest on a one-shot pod identifies the request that the pod was created for.
	annotationRequest = "weir.dev/one-shot-request"

	volumeCandidate = volumePrefix + "candidate"
	candidateDir    = "/etc/weir/candidate"
)

// errand is what a pod is sent for.
type oneShot struct {
	name string
	key  string
	args []string
	// candidate is set where the errand is about a configuration that is not in use yet.
	candidate bool
	// offsets is the ConfigMap with the offsets to write.
	offsets string
}

// OneShotName is the name of an errand's pod, and of the Secret that it takes along.
func OneShotName(connector, errand string) string { return connector + "-" + errand }

// CandidateName is the name of the Secret with the configuration that is being validated.
func CandidateName(connector string) string { return OneShotName(connector, contract.OneShotValidate) }

// pod of the errand: the connector's own, but that it runs once, answers nobody and has no token.
func (a oneShot) pod(s State, e effective) *corev1ac.PodApplyConfiguration {
	connector, _ := e.kinds(s.Connector.Name)
	spec := podSpec(s, e, connector)
	container := &spec.Containers[0]
	container.WithName(a.name)
	container.Args = a.args
	container.StartupProbe, container.LivenessProbe, container.ReadinessProbe, container.Ports = nil, nil, nil, nil
	spec.WithRestartPolicy(corev1.RestartPolicyNever).WithAutomountServiceAccountToken(false)
	spec.ServiceAccountName = nil
	if a.candidate {
		spec.WithVolumes(corev1ac.Volume().WithName(volumeCandidate).WithSecret(corev1ac.SecretVolumeSource().WithSecretName(CandidateName(s.Connector.Name))))
		container.WithVolumeMounts(corev1ac.VolumeMount().WithName(volumeCandidate).WithMountPath(candidateDir).WithReadOnly(true))
	}
	if a.offsets != "" {
		spec.WithVolumes(corev1ac.Volume().WithName(volumeCandidate).WithConfigMap(corev1ac.ConfigMapVolumeSource().WithName(a.offsets)))
		container.WithVolumeMounts(corev1ac.VolumeMount().WithName(volumeCandidate).WithMountPath(candidateDir).WithReadOnly(true))
	}
	return corev1ac.Pod(OneShotName(s.Connector.Name, a.name), s.Connector.Namespace).
		WithLabels(labelsOf(s.Connector, contract.TypeOneShot)).
		WithLabels(map[string]string{contract.LabelOneShot: a.name}).
		WithAnnotations(map[string]string{annotationRequest: a.key}).
		WithOwnerReferences(ownerReference("KafkaConnector", s.Connector.Name, s.Connector.UID)).
		WithSpec(spec)
}

// answer is what an errand came back with.
type answer struct {
	termination contract.Termination
	exitCode    int32
}

// send makes sure that the errand's pod is under way, and returns its answer once there is one.
func (p *Plan) send(s State, e effective, a oneShot) *answer {
	pod := oneShotPod(s, a.name)
	switch {
	case pod == nil:
		p.OneShots = append(p.OneShots, a.pod(s, e))
	case pod.DeletionTimestamp != nil:
	case pod.Annotations[annotationRequest] != a.key:
		p.FinishedOneShots = append(p.FinishedOneShots, pod)
	default:
		return answerOf(pod)
	}
	return nil
}

// recall ends an errand that nobody waits for any more.
func (p *Plan) recall(s State, name string) {
	if pod := oneShotPod(s, name); pod != nil && pod.DeletionTimestamp == nil {
		p.FinishedOneShots = append(p.FinishedOneShots, pod)
	}
}

func oneShotPod(s State, name string) *corev1.Pod {
	for _, pod := range s.Pods {
		if pod.Labels[contract.LabelType] == contract.TypeOneShot && pod.Name == OneShotName(s.Connector.Name, name) {
			return pod
		}
	}
	return nil
}

// answerOf reads what a finished errand said; nil while it is under way.
func answerOf(pod *corev1.Pod) *answer {
	if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
		return nil
	}
	ended := mainContainer(pod).State.Terminated
	if ended == nil {
		return &answer{contract.Termination{Reason: cmp.Or(pod.Status.Reason, "Error"), Message: cmp.Or(pod.Status.Message, "the pod ended without a word")}, 1}
	}
	said, ok := contract.ParseTermination(ended.Message)
	if !ok {
		said = contract.Termination{Reason: cmp.Or(ended.Reason, "Error"), Message: fmt.Sprintf("exit code %d", ended.ExitCode)}
	}
	return &answer{said, ended.ExitCode}
}

// validate asks the plugin about a new connectorConfig before anything that runs is touched. A connector that is made for the
// first time asks by itself, and so does one whose image or plugins have changed: their pods say what is wrong.
func (p *Plan) validate(s State, e effective) *finding {
	live := s.Live.ConnectorSet
	key := e.candidateKey()
	if live == nil || live.Annotations[annotationAccepted] == "" || live.Annotations[annotationAccepted] == key || e.connectorReplicas == 0 {
		p.recall(s, contract.OneShotValidate)
		return nil
	}
	ask := oneShot{name: contract.OneShotValidate, key: key, candidate: true, args: []string{"validate",
		"--connector-config", path.Join(candidateDir, path.Base(contract.ConnectorConfigFile)), "--runner-config", path.Join(candidateDir, path.Base(contract.RunnerConfigFile))}}
	said := p.send(s, e, ask)
	if pod := oneShotPod(s, contract.OneShotValidate); pod != nil && pod.DeletionTimestamp == nil && pod.Annotations[annotationRequest] == key {
		if found := p.takeAlong(s, e, pod); found != nil {
			return found
		}
	}
	switch {
	case said == nil:
		waiting := "asking the plugin whether it accepts the new connectorConfig; what runs goes on with the former one"
		if pod := oneShotPod(s, contract.OneShotValidate); pod != nil {
			if trouble := troubleOf(pod); trouble != "" {
				waiting += ": " + trouble
			}
		}
		return &finding{connectv1.ReasonValidating, waiting}
	case said.exitCode == 0:
		return nil
	case said.termination.Reason == contract.ReasonConfigInvalid:
		return &finding{connectv1.ReasonConfigRejected, rejection(said.termination)}
	}
	return &finding{connectv1.ReasonValidationFailed, fmt.Sprintf("the plugin could not be asked about the new connectorConfig, and what runs goes on with the former one: %s: %s; delete pod %s to try again",
		said.termination.Reason, said.termination.Message, OneShotName(s.Connector.Name, contract.OneShotValidate))}
}

// takeAlong writes the Secret with the candidate. It belongs to the errand's pod and goes with it.
func (p *Plan) takeAlong(s State, e effective, pod *corev1.Pod) *finding {
	live := s.Live.Candidate
	if live != nil {
		owner := metav1.GetControllerOf(live)
		switch {
		case owner != nil && owner.UID == pod.UID:
			return nil
		case live.Labels[contract.LabelManagedBy] == Manager:
			return &finding{connectv1.ReasonValidating, fmt.Sprintf("waiting until Secret %s of a former validation is deleted", live.Name)}
		}
		return &finding{connectv1.ReasonNameConflict, fmt.Sprintf("Secret %s belongs to somebody else, and a Secret of that name is needed to validate connectorConfig; rename or delete it", live.Name)}
	}
	connector, _ := e.kinds(s.Connector.Name)
	p.Secrets = append(p.Secrets, corev1ac.Secret(CandidateName(s.Connector.Name), s.Connector.Namespace).
		WithLabels(labelsOf(s.Connector, contract.TypeOneShot)).
		WithOwnerReferences(metav1ac.OwnerReference().WithAPIVersion("v1").WithKind("Pod").WithName(pod.Name).WithUID(pod.UID).WithController(true)).
		WithData(map[string][]byte{
			path.Base(contract.ConnectorConfigFile): encode(e.connectorConfig),
			path.Base(contract.RunnerConfigFile):    encode(runnerConfig(e, connector)),
		}))
	return nil
}

// rejection names each field that the plugin refuses, in its own words.
func rejection(said contract.Termination) string {
	var result contract.ValidationResult
	if err := json.Unmarshal(said.Result, &result); err != nil || len(result.Errors) == 0 {
		return "the plugin refuses the new connectorConfig, and what runs goes on with the former one: " + said.Message
	}
	var fields []string
	for field, messages := range result.Errors {
		fields = append(fields, fmt.Sprintf("spec.connectorConfig.%s: %s", field, strings.Join(messages, ", ")))
	}
	slices.Sort(fields)
	return strings.Join(fields, "; ") + " (what runs goes on with the former configuration)"
}

// fence sees to it that no former task of an exactly-once source can write once the new ones start: all of them are gone, and
// their producers are fenced off. It returns what it waits for; nil when the tasks may start.
func (p *Plan) fence(s State, e effective, set taskSet) *finding {
	former := running(s)
	if !set.exactlyOnce || slices.Equal(former, set.hashes) || len(former) == 0 {
		p.recall(s, contract.OneShotFence)
		return nil
	}
	if left := len(podsOf(s.Pods, contract.TypeTask)); left > 0 {
		return &finding{connectv1.ReasonFencing, fmt.Sprintf("exactly once: %d former tasks are being stopped before the new ones start", left)}
	}
	key := contract.TaskConfigsHash(set.hashes)
	said := p.send(s, e, oneShot{name: contract.OneShotFence, key: key, args: []string{"offsets", "fence", "--fence-tasks", fmt.Sprint(max(len(former), len(set.hashes)))}})
	switch {
	case said == nil:
		return &finding{connectv1.ReasonFencing, "exactly once: the producers of the former tasks are being fenced off"}
	case said.exitCode != 0:
		return &finding{connectv1.ReasonFencingFailed, fmt.Sprintf("exactly once: the producers of the former tasks could not be fenced off: %s: %s; delete pod %s to try again",
			said.termination.Reason, said.termination.Message, OneShotName(s.Connector.Name, contract.OneShotFence))}
	}
	return nil
}

// offsets does what the annotation strimzi.io/connector-offsets asks for, and returns what is to be told of it.
func (p *Plan) offsets(s State, e effective) *connectv1.OffsetsStatus {
	told := s.Connector.Status.Offsets
	if pod := oneShotPod(s, contract.OneShotOffsets); pod != nil {
		if said := answerOf(pod); said != nil && (told == nil || told.ID != string(pod.UID)) {
			told = offsetsTold(s, pod, said)
		}
	}
	wanted, asked := s.Connector.Annotations[contract.ConnectorOffsets]
	if !asked {
		p.recall(s, contract.OneShotOffsets)
		return told
	}
	if refusal := refuseOffsets(s, wanted); refusal != "" {
		p.Done = append(p.Done, contract.ConnectorOffsets)
		return &connectv1.OffsetsStatus{Operation: wanted, State: connectv1.OffsetsRefused, Message: refusal, Time: now(s)}
	}
	ask := oneShot{name: contract.OneShotOffsets, key: wanted, args: []string{"offsets", wanted}}
	if wanted == contract.OffsetsAlter {
		ask.offsets = s.Connector.Spec.AlterOffsets.FromConfigMap.Name
		ask.args = append(ask.args, "--offsets", path.Join(candidateDir, offsetsKey))
	}
	if p.send(s, e, ask) != nil {
		p.Done = append(p.Done, contract.ConnectorOffsets)
	}
	return told
}

// offsetsKey is the key of the ConfigMap of spec.alterOffsets (Strimzi's).
const offsetsKey = "offsets.json"

// refuseOffsets says why a request about offsets cannot be met; empty if it can.
func refuseOffsets(s State, wanted string) string {
	switch {
	case !slices.Contains([]string{contract.OffsetsList, contract.OffsetsAlter, contract.OffsetsReset}, wanted):
		return fmt.Sprintf("annotation %s: %q is none of list, alter and reset", contract.ConnectorOffsets, wanted)
	case wanted != contract.OffsetsList && s.Connector.Spec.State != connectv1.StateStopped:
		return fmt.Sprintf("offsets can be changed only while the connector is stopped: set spec.state to stopped, then ask for %s again", wanted)
	case wanted == contract.OffsetsAlter && (s.Connector.Spec.AlterOffsets == nil || s.Connector.Spec.AlterOffsets.FromConfigMap.Name == ""):
		return "spec.alterOffsets.fromConfigMap.name is empty; name the ConfigMap whose key offsets.json has the new offsets"
	}
	return ""
}

func offsetsTold(s State, pod *corev1.Pod, said *answer) *connectv1.OffsetsStatus {
	told := &connectv1.OffsetsStatus{ID: string(pod.UID), Operation: pod.Annotations[annotationRequest], State: connectv1.OffsetsDone, Message: said.termination.Message, Time: now(s)}
	if said.exitCode != 0 {
		told.State, told.Message = connectv1.OffsetsFailed, said.termination.Reason+": "+said.termination.Message
		return told
	}
	var result contract.OffsetsResult
	switch err := json.Unmarshal(said.termination.Result, &result); {
	case err != nil && told.Operation == contract.OffsetsList:
		told.Message = "there are more offsets than fit into a status; read them with connect-runner offsets list"
	case err == nil:
		told.Message = cmp.Or(result.Message, told.Message)
		for _, o := range result.Offsets {
			told.Offsets = append(told.Offsets, connectv1.PartitionOffset{Partition: string(o.Partition), Offset: string(o.Offset)})
		}
	}
	return told
}

func now(s State) metav1.Time { return metav1.NewTime(s.Now).Rfc3339Copy() }
