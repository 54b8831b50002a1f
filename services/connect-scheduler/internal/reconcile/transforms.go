package reconcile

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// problemPrefix precedes the description of an invalid value. No hash begins with it.
const problemPrefix = "!"

// trimSecret is the transform of the Secret cache. It replaces each value by its hash, or by a description of the
// problem if the value is an invalid task config. So no secret value stays in memory or reaches a log. A cache may
// transform an object twice: trimSecret recognizes a transformed Secret by its StringData, which the API server never
// returns.
func trimSecret(object any) (any, error) {
	secret, ok := object.(*corev1.Secret)
	if !ok || secret.StringData != nil {
		return object, nil
	}
	secret.StringData = workerSettings(secret.Data[spec.WorkerKey])
	_, holdsTaskConfigs := secret.Annotations[contract.AnnotationTaskCount]
	taskConfigs := contract.NewTaskConfigReader(secret.Data[contract.TaskCommonKey])
	values := make(map[string][]byte, len(secret.Data))
	for key, value := range secret.Data {
		values[key] = []byte(contract.TaskConfigHash(value))
		if _, isTask := contract.ParseTaskConfigKey(key); isTask && holdsTaskConfigs {
			values[key] = describeTaskConfig(taskConfigs, value)
		}
	}
	secret.Data = values
	trimMetadata(secret)
	return secret, nil
}

// Keys of the StringData of a transformed Secret.
const (
	keyOffsetsTopic = "offset.storage.topic"
	keyServers      = "bootstrap.servers"
)

// workerSettings returns the settings of worker.properties that the cache keeps. The map is never nil.
func workerSettings(properties []byte) map[string]string {
	kept := map[string]string{}
	if properties == nil {
		return kept
	}
	worker := spec.ReadWorker(properties)
	if worker.OffsetsTopic != "" {
		kept[keyOffsetsTopic] = worker.OffsetsTopic
	}
	if len(worker.Servers) > 0 {
		kept[keyServers] = strings.Join(worker.Servers, ",")
	}
	return kept
}

// describeTaskConfig returns the hash of a task config, or problemPrefix and the description of the problem. It never
// quotes the value.
func describeTaskConfig(reader *contract.TaskConfigReader, value []byte) []byte {
	config, hash, err := reader.Read(value)
	switch {
	case err != nil:
		return []byte(problemPrefix + err.Error())
	case config.Connector["connector.class"] == "":
		return []byte(problemPrefix + "has no connector.class in its map connector")
	}
	return []byte(hash)
}

// describe returns the description of a Secret that trimSecret has transformed. It returns nil for nil.
func describe(secret *corev1.Secret) *observed.Secret {
	if secret == nil {
		return nil
	}
	described := &observed.Secret{
		Annotations: secret.Annotations, Keys: make(map[string]observed.SecretValue, len(secret.Data)),
		Worker: observed.WorkerSettings{OffsetsTopic: secret.StringData[keyOffsetsTopic]},
	}
	if servers := secret.StringData[keyServers]; servers != "" {
		described.Worker.Servers = strings.Split(servers, ",")
	}
	for key, value := range secret.Data {
		if problem, found := strings.CutPrefix(string(value), problemPrefix); found {
			described.Keys[key] = observed.SecretValue{Problem: problem}
		} else {
			described.Keys[key] = observed.SecretValue{Hash: string(value)}
		}
	}
	return described
}

// trimObject is the transform of the caches of managed kinds. Of an object that connect-scheduler does not manage only
// the owner is needed. Claims are kept, because storage.existingClaim can select any claim.
func trimObject(object any) (any, error) {
	return cacheutil.Transform(trimMetadata)(object)
}

// trimConfigMap is the transform of the cache of ConfigMaps. Only their existence and their owners are needed.
func trimConfigMap(object any) (any, error) {
	if configMap, ok := object.(*corev1.ConfigMap); ok {
		configMap.Data, configMap.BinaryData, configMap.ManagedFields, configMap.Annotations = nil, nil, nil, nil
	}
	return object, nil
}

// trimMetadata removes managed fields of other managers. If connect-scheduler does not manage the object, trimMetadata
// removes all managed fields and annotations.
func trimMetadata(object metav1.Object) {
	cacheutil.KeepManager(decide.Manager)(object)
	cacheutil.Unless(isManaged, cacheutil.DropManagedFields, cacheutil.KeepAnnotations())(object)
}

// trimPod is the transform of the pod cache. Of a pod's spec only the node name is needed.
func trimPod(object any) (any, error) {
	if pod, ok := object.(*corev1.Pod); ok {
		pod.ManagedFields = nil
		pod.Spec = corev1.PodSpec{NodeName: pod.Spec.NodeName}
	}
	return object, nil
}

func isManaged(object metav1.Object) bool { return apply.ManagedBy(object, decide.Manager) }

// trimmedMeta returns the metadata that identifies an object.
func trimmedMeta(object metav1.Object) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: object.GetName(), Namespace: object.GetNamespace(), UID: object.GetUID(),
		ResourceVersion: object.GetResourceVersion(),
	}
}
