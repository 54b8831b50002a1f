package spec

import (
	"fmt"
	"path"
	"slices"
	"strings"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

// Names that pods reserve.
const (
	// VolumePrefix is the prefix of the names of Weir's volumes.
	VolumePrefix = "weir-"
	// TmpDir is the path of the writable temporary directory.
	TmpDir = "/tmp"
	// WorkerKey is the key of the worker Secret.
	WorkerKey = "worker.properties"
)

// reservedEnv are the environment variables that Weir sets in every container.
var reservedEnv = []string{
	contract.EnvConnector, contract.EnvNamespace, contract.EnvPod, contract.EnvNode, contract.EnvZone,
	contract.EnvTaskID, contract.EnvConfigGeneration, contract.EnvTaskHashes, contract.EnvGracePeriod,
	contract.EnvOffsetsTopic, contract.EnvTaskFormat,
}

// reservedPaths are the directories at which Weir mounts its volumes.
var reservedPaths = []string{
	path.Dir(contract.RunnerConfigFile), path.Dir(contract.WorkerConfigFile), path.Dir(contract.TaskConfigFile),
	path.Dir(contract.TaskCommonFile), contract.PluginDir, contract.PluginImageDir, TmpDir,
}

// Finding describes why a spec or an object that it references is not valid.
type Finding struct {
	// Reason is a documented reason of the condition ConfigValid.
	Reason string
	// Message names the field, its value and the fix.
	Message string
}

// checks are in the order in which users fix their findings.
var checks = []func(observed.State, Effective) *Finding{
	connectExists,
	imageIsSet,
	workerSecretIsSet,
	workerSecretExists,
	workerKeyExists,
	templateNamesAreFree,
	templatesAreAllowed,
	mountPathsAreFree,
	objectNamesAreFree,
	deletedObjectsAreGone,
	offsetsAreItsOwn,
	claimNameIsFree,
	claimIsUsable,
}

// Validate returns the first finding, or nil if the spec is valid. While there is a finding, no pod is created or
// changed.
func Validate(s observed.State, e Effective) *Finding {
	for _, check := range checks {
		if finding := check(s, e); finding != nil {
			return finding
		}
	}
	return nil
}

// NamesAreFree reports whether no object with a derived name has another owner or is being deleted.
func NamesAreFree(s observed.State, e Effective) bool {
	return objectNamesAreFree(s, e) == nil && deletedObjectsAreGone(s, e) == nil
}

func connectExists(s observed.State, _ Effective) *Finding {
	if ref := s.Connector.Spec.ConnectRef; ref != nil && s.Connect == nil {
		return &Finding{connectv1.ReasonConnectNotFound, fmt.Sprintf(
			"spec.connectRef.name %q: KafkaConnect not found in namespace %s; create it or remove connectRef",
			ref.Name, s.Connector.Namespace)}
	}
	return nil
}

func imageIsSet(_ observed.State, e Effective) *Finding {
	for _, w := range []struct{ field, image string }{{"connector", e.Connector.Image}, {"task", e.Task.Image}} {
		if w.image == "" {
			return &Finding{connectv1.ReasonImageMissing, fmt.Sprintf(
				"spec.%s.image is empty and the KafkaConnect of connectRef sets no image; set the image that runs connect-runner",
				w.field,
			)}
		}
	}
	return nil
}

func workerSecretIsSet(_ observed.State, e Effective) *Finding {
	if e.WorkerSecret == "" {
		return &Finding{
			connectv1.ReasonWorkerSecretNotSet,
			"spec.workerConfigSecret.name is empty and the KafkaConnect " +
				"of connectRef sets none; set the name of the Secret with the key " + WorkerKey,
		}
	}
	return nil
}

func workerSecretExists(s observed.State, e Effective) *Finding {
	if s.Worker == nil {
		return &Finding{connectv1.ReasonWorkerSecretNotFound, fmt.Sprintf(
			"spec.workerConfigSecret.name %q: Secret not found in namespace %s; create it with the key %s",
			e.WorkerSecret, s.Connector.Namespace, WorkerKey)}
	}
	return nil
}

func workerKeyExists(s observed.State, e Effective) *Finding {
	if _, ok := s.Worker.Keys[WorkerKey]; !ok {
		return &Finding{connectv1.ReasonWorkerKeyMissing, fmt.Sprintf(
			"spec.workerConfigSecret.name %q: the Secret has no key %s; add the key with the worker configuration",
			e.WorkerSecret, WorkerKey)}
	}
	return nil
}

// templateOfType is the merged template of one type of pod and the field that sets it.
type templateOfType struct {
	field string
	connectv1.WorkloadTemplate
}

func (e Effective) templates() []templateOfType {
	return []templateOfType{{"spec.template.connector", e.ConnectorTemplate}, {"spec.template.task", e.TaskTemplate}}
}

func templateNamesAreFree(_ observed.State, e Effective) *Finding {
	for _, t := range e.templates() {
		for _, v := range t.Container.Env {
			if slices.Contains(reservedEnv, v.Name) {
				return &Finding{connectv1.ReasonReservedName, fmt.Sprintf(
					"%s.container.env (or the template for all pods): %s is set by Weir; choose another name",
					t.field,
					v.Name,
				)}
			}
		}
		for _, v := range t.Pod.Volumes {
			if strings.HasPrefix(v.Name, VolumePrefix) {
				return &Finding{connectv1.ReasonReservedName, fmt.Sprintf(
					"%s.pod.volumes (or the template for all pods): %s has the reserved prefix %s; choose another name",
					t.field, v.Name, VolumePrefix)}
			}
		}
	}
	return nil
}

func mountPathsAreFree(_ observed.State, e Effective) *Finding {
	used := map[string]string{}
	for _, p := range reservedPaths {
		used[p] = "by Weir"
	}
	if e.Volume != nil {
		mountPath := e.Volume.StorageSpec.MountPath
		if hidden, user := conflict(mountPath, used); user != "" {
			return &Finding{connectv1.ReasonMountPathConflict, fmt.Sprintf(
				"storage.mountPath %q: %s is used %s; choose another directory, for example /mnt/shared",
				mountPath,
				hidden,
				user,
			)}
		}
		used[path.Clean(mountPath)] = "by the shared volume (storage.mountPath)"
	}
	for _, t := range e.templates() {
		for _, m := range t.Container.VolumeMounts {
			if hidden, user := conflict(m.MountPath, used); user != "" {
				return &Finding{connectv1.ReasonMountPathConflict, fmt.Sprintf(
					"%s.container.volumeMounts (or the template for all pods): mountPath %q: %s is used %s; choose another directory",
					t.field,
					m.MountPath,
					hidden,
					user,
				)}
			}
		}
	}
	return nil
}

// conflict returns the used directory that a mount at mountPath would replace or hide. If there are several, it returns
// the first in lexical order, so that the message is stable.
func conflict(mountPath string, used map[string]string) (hidden, user string) {
	mountPath = path.Clean(mountPath)
	for dir, by := range used {
		if (dir == mountPath || strings.HasPrefix(dir, mountPath+"/")) && (hidden == "" || dir < hidden) {
			hidden, user = dir, by
		}
	}
	return hidden, user
}

func objectNamesAreFree(s observed.State, e Effective) *Finding {
	for _, object := range s.Objects.Managed() {
		if object.Kind == "Service" && !e.wantsService(object.GetName(), s.Connector.Name) {
			continue
		}
		if s.Ownership(object.Object) == observed.Foreign {
			return &Finding{connectv1.ReasonNameConflict, fmt.Sprintf(
				"%s %s exists and is not managed by %s; rename or delete it, or rename the connector",
				object.Kind, object.GetName(), observed.Manager)}
		}
	}
	return nil
}

func deletedObjectsAreGone(s observed.State, _ Effective) *Finding {
	for _, object := range s.Objects.Managed() {
		ownership := s.Ownership(object.Object)
		if ownership == observed.OwnedByDeleted ||
			ownership == observed.Owned && object.GetDeletionTimestamp() != nil {
			return &Finding{connectv1.ReasonWaitingForDeletion, fmt.Sprintf(
				"waiting for the deletion of %s %s, which belongs to a deleted connector of the same name",
				object.Kind, object.GetName())}
		}
	}
	return nil
}

// offsetsAreItsOwn refuses to start a connector that would read and overwrite the offsets of another connector of the
// same name. It never applies to a connector that has started. The message does not tell the other namespace, which the
// user may not see.
func offsetsAreItsOwn(s observed.State, e Effective) *Finding {
	if s.HasStarted() || isSink(e.ConnectorConfig) {
		return nil
	}
	own := storeOf(s.Connector.Namespace, e.DefaultOffsetsTopic, s.Worker, e.ConnectorConfig)
	for _, n := range s.Namesakes {
		other := n.Connector.Spec.ConnectorConfig
		if isSink(other) || !isBefore(n, s.Connector) ||
			!own.overlaps(storeOf(n.Connector.Namespace, defaultOffsetsTopic(n.Connector, n.Set), n.Worker, other)) {
			continue
		}
		return &Finding{connectv1.ReasonOffsetsConflict, fmt.Sprintf(
			"another connector named %q stores its offsets in a topic that this connector would use (%s), in the same Kafka "+
				"cluster; set another offset.storage.topic in worker.properties of Secret %s, or rename the connector",
			s.Connector.Name, strings.Join(own.topics, ", "), e.WorkerSecret)}
	}
	return nil
}

// wantsService reports whether the connector needs a Service of this name. If it does not, another owner may use the
// name.
func (e Effective) wantsService(service, connector string) bool {
	if service == observed.ConnectorName(connector) {
		return e.Connector.ServiceSpec != nil
	}
	return e.Task.ServiceSpec != nil
}

func claimNameIsFree(s observed.State, e Effective) *Finding {
	if e.Volume == nil {
		return nil
	}
	return e.Volume.Conflict(s.Claim)
}

func claimIsUsable(s observed.State, e Effective) *Finding {
	if e.Volume == nil {
		return nil
	}
	return e.Volume.Unusable(s.Claim, s.Class)
}
