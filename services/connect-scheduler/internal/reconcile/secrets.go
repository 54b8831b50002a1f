package reconcile

import (
	"encoding/json"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
)

// problemMark comes before what is wrong with a value; no hash begins with it.
const problemMark = "!"

// forgetValues is the transform of the Secret cache: it keeps a hash of each value in place of the value, and for task
// configs whether they can be used, so that no secret stays in memory or can reach a log. Caches may transform an object
// more than once; one that has been through it is told by its StringData, which the API never sends.
func forgetValues(object any) (any, error) {
	secret, ok := object.(*corev1.Secret)
	if !ok || secret.StringData != nil {
		return object, nil
	}
	secret.StringData = map[string]string{}
	_, holdsTaskConfigs := secret.Annotations[contract.AnnotationTaskCount]
	facts := make(map[string][]byte, len(secret.Data))
	for key, value := range secret.Data {
		facts[key] = []byte(contract.TaskConfigHash(value))
		if _, isTask := contract.ParseTaskConfigKey(key); isTask && holdsTaskConfigs {
			if problem := taskConfigProblem(value); problem != "" {
				facts[key] = []byte(problemMark + problem)
			}
		}
	}
	secret.Data = facts
	forgetOthers(secret)
	return secret, nil
}

// taskConfigProblem says why a value is no contract.TaskConfig, without quoting from it.
func taskConfigProblem(value []byte) string {
	var config contract.TaskConfig
	decoder := json.NewDecoder(strings.NewReader(string(value)))
	decoder.DisallowUnknownFields()
	switch err := decoder.Decode(&config); {
	case err != nil || decoder.More():
		return `is no JSON object of two maps of strings, "connector" and "task"`
	case config.Connector["connector.class"] == "":
		return `has no connector.class in its map "connector"`
	}
	return ""
}

// factsOf reads what forgetValues has kept; nil for no Secret.
func factsOf(secret *corev1.Secret) *decide.SecretFacts {
	if secret == nil {
		return nil
	}
	facts := &decide.SecretFacts{Annotations: secret.Annotations, Keys: make(map[string]decide.KeyFacts, len(secret.Data))}
	for key, value := range secret.Data {
		if problem, found := strings.CutPrefix(string(value), problemMark); found {
			facts.Keys[key] = decide.KeyFacts{Problem: problem}
		} else {
			facts.Keys[key] = decide.KeyFacts{Hash: string(value)}
		}
	}
	return facts
}

// forgetForeign is the transform of the other caches: of what somebody else made, only whose it is matters.
func forgetForeign(object any) (any, error) {
	meta, ok := object.(metav1.Object)
	if !ok {
		return object, nil
	}
	switch o := object.(type) {
	case *corev1.PersistentVolumeClaim:
		// The state of any claim can matter: existingClaim may name it.
	case *corev1.ConfigMap:
		if !madeHere(o) {
			o.Data, o.BinaryData = nil, nil
		}
	}
	forgetOthers(meta)
	return object, nil
}

// forgetOthers keeps of what was made here the fields that are owned here, and of all else no managers and annotations.
func forgetOthers(object metav1.Object) {
	if !madeHere(object) {
		object.SetManagedFields(nil)
		object.SetAnnotations(nil)
		return
	}
	object.SetManagedFields(slices.DeleteFunc(object.GetManagedFields(), func(e metav1.ManagedFieldsEntry) bool { return e.Manager != decide.Manager }))
}

// forgetSpecs is the transform of the pod cache: of a pod's spec only its node matters.
func forgetSpecs(object any) (any, error) {
	if pod, ok := object.(*corev1.Pod); ok {
		pod.ManagedFields = nil
		pod.Spec = corev1.PodSpec{NodeName: pod.Spec.NodeName}
	}
	return object, nil
}

func madeHere(object metav1.Object) bool {
	return object.GetLabels()[contract.LabelManagedBy] == decide.Manager
}

// forgetManagers is the transform of caches whose objects are only read.
func forgetManagers(object any) (any, error) {
	if meta, ok := object.(metav1.Object); ok {
		meta.SetManagedFields(nil)
	}
	return object, nil
}
