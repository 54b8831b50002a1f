package decide

import (
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
)

// finding is what is wrong with a spec or with what it refers to: a documented reason, and a message that names the
// field, the value and the cure.
type finding struct{ reason, message string }

// check looks for one thing that is wrong; nil is nothing found.
type check func(State, effective) *finding

// inputChecks are in the order in which a user would mend what they find. As long as one of them finds something, no pods
// are made or changed: what runs goes on as it is.
var inputChecks = []check{
	connectDoesNotExist,
	imageIsMissing,
	workerSecretIsNotNamed,
	workerSecretDoesNotExist,
	workerSecretLacksItsKey,
	templateUsesReservedName,
	volumeHidesOtherFiles,
	nameIsTaken,
	formerObjectsAreStillThere,
	claimIsTaken,
}

func firstFinding(s State, e effective) *finding {
	for _, c := range inputChecks {
		if found := c(s, e); found != nil {
			return found
		}
	}
	return nil
}

func connectDoesNotExist(s State, _ effective) *finding {
	if ref := s.Connector.Spec.ConnectRef; ref != nil && s.Connect == nil {
		return &finding{connectv1.ReasonConnectNotFound, fmt.Sprintf("spec.connectRef.name %q: there is no such KafkaConnect in namespace %s; create it, or remove connectRef", ref.Name, s.Connector.Namespace)}
	}
	return nil
}

func imageIsMissing(_ State, e effective) *finding {
	missing := &finding{connectv1.ReasonImageMissing, "spec.%s.image is empty, and the KafkaConnect of connectRef has none either; name the image that runs connect-runner"}
	switch {
	case e.connector.Image == "":
		missing.message = fmt.Sprintf(missing.message, "connector")
	case e.task.Image == "":
		missing.message = fmt.Sprintf(missing.message, "task")
	default:
		return nil
	}
	return missing
}

func workerSecretIsNotNamed(_ State, e effective) *finding {
	if e.workerSecret == "" {
		return &finding{connectv1.ReasonWorkerSecretNotSet, "spec.workerConfigSecret.name is empty, and the KafkaConnect of connectRef has none either; name the Secret that holds worker.properties"}
	}
	return nil
}

func workerSecretDoesNotExist(s State, e effective) *finding {
	if s.Worker == nil {
		return &finding{connectv1.ReasonWorkerSecretNotFound, fmt.Sprintf("spec.workerConfigSecret.name %q: there is no such Secret in namespace %s; create it with the key worker.properties", e.workerSecret, s.Connector.Namespace)}
	}
	return nil
}

// workerKey is the key of the worker Secret (seed 001).
const workerKey = "worker.properties"

func workerSecretLacksItsKey(s State, e effective) *finding {
	if _, ok := s.Worker.Keys[workerKey]; !ok {
		return &finding{connectv1.ReasonWorkerKeyMissing, fmt.Sprintf("spec.workerConfigSecret.name %q: the Secret has no key %s; put the worker's configuration there", e.workerSecret, workerKey)}
	}
	return nil
}

func templateUsesReservedName(_ State, e effective) *finding {
	for _, t := range []struct {
		field   string
		env     []corev1.EnvVar
		volumes []corev1.Volume
	}{
		{"spec.template.connector", e.connectorTemplate.Container.Env, e.connectorTemplate.Pod.Volumes},
		{"spec.template.task", e.taskTemplate.Container.Env, e.taskTemplate.Pod.Volumes},
	} {
		for _, v := range t.env {
			if slices.Contains(reservedEnv, v.Name) {
				return &finding{connectv1.ReasonReservedName, fmt.Sprintf("%s.container.env (or the one for all pods): %s is set by Weir; choose another name", t.field, v.Name)}
			}
		}
		for _, v := range t.volumes {
			if strings.HasPrefix(v.Name, volumePrefix) {
				return &finding{connectv1.ReasonReservedName, fmt.Sprintf("%s.pod.volumes (or the one for all pods): names that begin with %s belong to Weir, as %s does; choose another name", t.field, volumePrefix, v.Name)}
			}
		}
	}
	return nil
}

// ownPaths are the directories that every container needs for itself.
var ownPaths = []string{path.Dir(contract.RunnerConfigFile), path.Dir(contract.WorkerConfigFile), path.Dir(contract.TaskConfigFile), contract.PluginDir, contract.PluginImageDir, tmpDir}

func volumeHidesOtherFiles(_ State, e effective) *finding {
	taken := map[string]string{}
	for _, p := range ownPaths {
		taken[p] = "by Weir"
	}
	if e.storage != nil {
		if hides, by := conflict(e.storage.MountPath, taken); by != "" {
			return &finding{connectv1.ReasonMountPathConflict, fmt.Sprintf("storage.mountPath %q: %s is used %s; choose a directory of its own, for example /mnt/shared", e.storage.MountPath, hides, by)}
		}
		taken[path.Clean(e.storage.MountPath)] = "by the shared volume (storage.mountPath)"
	}
	for _, t := range []struct {
		field  string
		mounts []corev1.VolumeMount
	}{{"spec.template.connector", e.connectorTemplate.Container.VolumeMounts}, {"spec.template.task", e.taskTemplate.Container.VolumeMounts}} {
		for _, m := range t.mounts {
			if hides, by := conflict(m.MountPath, taken); by != "" {
				return &finding{connectv1.ReasonMountPathConflict, fmt.Sprintf("%s.container.volumeMounts (or the one for all pods): mountPath %q: %s is used %s; choose another directory", t.field, m.MountPath, hides, by)}
			}
		}
	}
	return nil
}

// conflict finds a directory that a mount at mountPath would be, or would hide. The smallest one is named, so that the
// same input gives the same message.
func conflict(mountPath string, taken map[string]string) (hides, by string) {
	mountPath = path.Clean(mountPath)
	for dir, user := range taken {
		if (dir == mountPath || strings.HasPrefix(dir, mountPath+"/")) && (hides == "" || dir < hides) {
			hides, by = dir, user
		}
	}
	return hides, by
}

// made are the objects under the names that belong to the connector, with their kinds.
func (l Live) made() []struct {
	kind   string
	object metav1.Object
} {
	return []struct {
		kind   string
		object metav1.Object
	}{
		{"StatefulSet", l.ConnectorSet}, {"StatefulSet", l.TaskSet}, {"ConfigMap", l.ConnectorConfig}, {"ConfigMap", l.TaskRunnerConfig},
		{"Secret", l.ConnectorSecret}, {"Secret", l.TaskConfigs}, {"ServiceAccount", l.ServiceAccount}, {"Role", l.Role}, {"RoleBinding", l.RoleBinding},
		{"PodDisruptionBudget", l.Budget}, {"Service", l.ConnectorService}, {"Service", l.TaskService}, {"Service", l.TaskHeadless},
	}
}

func nameIsTaken(s State, e effective) *finding {
	for _, m := range s.Live.made() {
		if m.kind == "Service" && !e.wantsService(m.object, s.Connector.Name) {
			continue
		}
		if s.belongs(m.object) == foreign {
			return &finding{connectv1.ReasonNameConflict, fmt.Sprintf("%s %s belongs to somebody else, and the connector needs one of that name; rename or delete it, or give the connector another name", m.kind, m.object.GetName())}
		}
	}
	return nil
}

func formerObjectsAreStillThere(s State, _ effective) *finding {
	for _, m := range s.Live.made() {
		if b := s.belongs(m.object); b == formers || b == ours && m.object.GetDeletionTimestamp() != nil {
			return &finding{connectv1.ReasonWaitingForDeletion, fmt.Sprintf("waiting until %s %s of the former connector of this name is deleted", m.kind, m.object.GetName())}
		}
	}
	return nil
}

// wantsService tells whether the connector needs a Service of this name; where it does not, somebody else may have it.
func (e effective) wantsService(object metav1.Object, connector string) bool {
	if isNil(object) {
		return false
	}
	if object.GetName() == ConnectorName(connector) {
		return e.connector.ServiceSpec != nil
	}
	return e.task.ServiceSpec != nil
}

func (s State) belongs(object metav1.Object) belonging {
	if isNil(object) {
		return absent
	}
	return belongs(object, "KafkaConnector", s.Connector.Name, s.Connector.UID)
}

// isNil sees through an interface that holds a nil pointer.
func isNil(object metav1.Object) bool {
	return object == nil || reflect.ValueOf(object).IsNil()
}
