package publish

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/apply"
)

// Manager is the name of the service and the field manager of all writes.
const Manager = "connect-runner"

// SecretName returns the name of a connector's Secret with task configs.
func SecretName(connector string) string { return connector + "-tasks" }

// Secret publishes to the Secret `<connector>-tasks`, which connect-scheduler creates.
type Secret struct {
	Client    Secrets
	Namespace string
	Connector string
}

// Publish applies the set with the resourceVersion that it read. If two pods of a connector write at the same time,
// one of them gets a conflict and reads again.
func (s Secret) Publish(ctx context.Context, set Set) (bool, error) {
	name := SecretName(s.Connector)
	current, err := s.Client.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return false, fmt.Errorf("read Secret %s: %w", name, err)
	}
	if newer(current.Annotations[contract.AnnotationGeneration], set.Generation) {
		return false, ErrSuperseded
	}
	if published(current, set) {
		return false, nil
	}
	want := &configuration{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		Metadata: metadata{
			Name: name, Namespace: s.Namespace, ResourceVersion: current.ResourceVersion, Annotations: set.annotations(),
		},
		Data: set.Tasks.Data(),
	}
	applied, err := apply.Object(ctx, s.Client, Manager, want)
	if err != nil {
		return false, fmt.Errorf("apply Secret %s: %w", name, err)
	}
	if err := s.removeLeftovers(ctx, applied, set); err != nil {
		return false, err
	}
	return true, nil
}

// removeLeftovers deletes keys that server-side apply keeps because another field manager owns them.
func (s Secret) removeLeftovers(ctx context.Context, secret *corev1.Secret, set Set) error {
	leftovers := map[string]any{}
	for key := range secret.Data {
		if leftover(key, set) {
			leftovers[key] = nil
		}
	}
	if len(leftovers) == 0 {
		return nil
	}
	_, err := apply.MergePatch(ctx, s.Client, Manager, secret, apply.SameVersion, map[string]any{"data": leftovers})
	if err != nil {
		return fmt.Errorf("remove leftover task configs from Secret %s: %w", secret.Name, err)
	}
	return nil
}

// published reports whether a Secret contains exactly the set.
func published(secret *corev1.Secret, set Set) bool {
	for key, value := range set.annotations() {
		if secret.Annotations[key] != value {
			return false
		}
	}
	tasks := maps.Clone(secret.Data)
	maps.DeleteFunc(tasks, func(key string, _ []byte) bool { return !isTaskKey(key) })
	return maps.EqualFunc(tasks, set.Tasks.Data(), bytes.Equal)
}

// isTaskKey reports whether a key of the Secret belongs to the task configs.
func isTaskKey(key string) bool {
	_, ok := contract.ParseTaskConfigKey(key)
	return ok || key == contract.TaskCommonKey
}

// leftover reports whether a key belongs to an older set.
func leftover(key string, set Set) bool {
	_, current := set.Tasks.Data()[key]
	return isTaskKey(key) && !current
}

// newer reports whether generation a is newer than b. Only numbers are ordered: connect-scheduler's generations are
// hashes.
func newer(a, b string) bool {
	x, numberA := number(a)
	y, numberB := number(b)
	return numberA && (b == "" || numberB && x > y)
}

// hashLength is the length of contract.TaskConfigHash. A hash may consist of digits only.
const hashLength = 16

func number(generation string) (int64, bool) {
	n, err := strconv.ParseInt(generation, 10, 64)
	return n, err == nil && len(generation) < hashLength
}

// Permanent reports whether a retry cannot help.
func Permanent(err error) bool {
	return apierrors.IsRequestEntityTooLargeError(err) || apierrors.IsInvalid(err)
}
