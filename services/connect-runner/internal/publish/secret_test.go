package publish

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/testkit"
)

// connectorPod creates the Secret as connect-scheduler does. Its publisher has the rights of the connector's pod.
func connectorPod(t *testing.T) (admin kubernetes.Interface, namespace string, publisher Secret) {
	t.Helper()
	cp := testkit.Shared(t)
	namespace = cp.Namespace(t)
	_, err := cp.ApplyYAML(t.Context(), namespace, `
apiVersion: v1
kind: Secret
metadata: {name: x-tasks, labels: {app.kubernetes.io/managed-by: connect-scheduler}}
---
apiVersion: v1
kind: Secret
metadata: {name: other}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: x-connector}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: x-connector}
rules: [{apiGroups: [""], resources: [secrets], resourceNames: [x-tasks], verbs: [get, patch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: x-connector}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: x-connector}
subjects: [{kind: ServiceAccount, name: x-connector, namespace: `+namespace+`}]
`)
	require.NoError(t, err)
	config, err := cp.ServiceAccount(t.Context(), namespace, "x-connector")
	require.NoError(t, err)
	client, err := NewSecrets(config, namespace)
	require.NoError(t, err)
	testkit.Eventually(t, 10*time.Second, func(ctx context.Context) error {
		_, err := client.Get(ctx, "x-tasks", metav1.GetOptions{})
		return err
	})
	return cp.Client(), namespace, Secret{
		Client:    client,
		Namespace: namespace,
		Connector: "x",
	}
}

func read(t *testing.T, admin kubernetes.Interface, namespace string) *corev1.Secret {
	t.Helper()
	s, err := admin.CoreV1().Secrets(namespace).Get(t.Context(), "x-tasks", metav1.GetOptions{})
	require.NoError(t, err)
	return s
}

func TestPublishWritesTheSetAndKeepsOtherFields(t *testing.T) {
	admin, namespace, publisher := connectorPod(t)
	want := set(t, "7", "a", "b", "c")
	changed, err := publisher.Publish(t.Context(), want)
	require.NoError(t, err)
	require.True(t, changed)
	got := read(t, admin, namespace)
	require.Equal(t, want.Tasks.Data(), got.Data)
	require.Equal(t, "7", got.Annotations[contract.AnnotationGeneration])
	require.Equal(t, "3", got.Annotations[contract.AnnotationTaskCount])
	require.Equal(t, want.Hash, got.Annotations[contract.AnnotationTaskConfigsHash])
	require.Equal(t, "connect-scheduler", got.Labels[contract.LabelManagedBy], "fields of other managers are kept")

	changed, err = publisher.Publish(t.Context(), want)
	require.NoError(t, err)
	require.False(t, changed)
	require.Equal(t, got.ResourceVersion, read(t, admin, namespace).ResourceVersion, "an unchanged set is not written")

	_, err = publisher.Publish(t.Context(), set(t, "7", "a"))
	require.NoError(t, err)
	require.Len(t, read(t, admin, namespace).Data, 1, "leftover keys are deleted")
	_, err = publisher.Publish(t.Context(), set(t, "7"))
	require.NoError(t, err)
	require.Equal(t, "0", read(t, admin, namespace).Annotations[contract.AnnotationTaskCount])
	require.Empty(t, read(t, admin, namespace).Data)
}

func TestLeftoverKeysOfOtherFieldManagersAreRemoved(t *testing.T) {
	admin, namespace, publisher := connectorPod(t)
	s := read(t, admin, namespace)
	s.Data = map[string][]byte{"task-5.json": []byte("{}"), "note": []byte("mine")}
	_, err := admin.CoreV1().Secrets(namespace).Update(t.Context(), s, metav1.UpdateOptions{FieldManager: "another"})
	require.NoError(t, err)
	_, err = publisher.Publish(t.Context(), set(t, "1", "a"))
	require.NoError(t, err)
	got := read(t, admin, namespace)
	require.NotContains(t, got.Data, "task-5.json")
	require.Contains(t, got.Data, "note", "keys that are not task configs are kept")
}

func TestOldPodDoesNotOverwriteANewerGeneration(t *testing.T) {
	admin, namespace, publisher := connectorPod(t)
	_, err := publisher.Publish(t.Context(), set(t, "10", "new"))
	require.NoError(t, err)
	_, err = publisher.Publish(t.Context(), set(t, "9", "old"))
	require.ErrorIs(t, err, ErrSuperseded)
	_, err = publisher.Publish(t.Context(), set(t, "", "older"))
	require.ErrorIs(t, err, ErrSuperseded)
	require.Equal(t, "10", read(t, admin, namespace).Annotations[contract.AnnotationGeneration])
}

func TestHashGenerationReplacesAnyOther(t *testing.T) {
	admin, namespace, publisher := connectorPod(t)
	for _, generation := range []string{"10", "d0e3833ece45fa34", "9999999999999999", "1111111111111111", "0a9c"} {
		_, err := publisher.Publish(t.Context(), set(t, generation, generation))
		require.NoError(t, err)
		require.Equal(t, generation, read(t, admin, namespace).Annotations[contract.AnnotationGeneration])
	}
}

func TestConcurrentWritersConflict(t *testing.T) {
	admin, namespace, publisher := connectorPod(t)
	var wait sync.WaitGroup
	conflicts := make(chan error, 20)
	for i := range 20 {
		wait.Go(func() {
			_, err := publisher.Publish(t.Context(), set(t, "1", strconv.Itoa(i), "x"))
			if err != nil {
				conflicts <- err
			}
		})
	}
	wait.Wait()
	close(conflicts)
	for err := range conflicts {
		require.True(t, apierrors.IsConflict(err), err)
	}
	got := read(t, admin, namespace)
	hashes := []string{
		contract.TaskConfigHash(got.Data["task-0.json"]),
		contract.TaskConfigHash(got.Data["task-1.json"]),
	}
	require.Equal(
		t,
		contract.TaskConfigsHash(hashes),
		got.Annotations[contract.AnnotationTaskConfigsHash],
		"a write is atomic",
	)
}

func TestMissingOrForbiddenSecretIsAnError(t *testing.T) {
	admin, namespace, publisher := connectorPod(t)
	other := publisher
	other.Connector = "y"
	_, err := other.Publish(t.Context(), set(t, "1", "a"))
	require.True(t, apierrors.IsForbidden(err), err)
	require.ErrorContains(t, err, "read Secret y-tasks")
	require.NoError(t, admin.CoreV1().Secrets(namespace).Delete(t.Context(), "x-tasks", metav1.DeleteOptions{}))
	_, err = publisher.Publish(t.Context(), set(t, "1", "a"))
	require.True(t, apierrors.IsNotFound(err), err)
}

func TestOneMegabyteOfTaskConfigsIsPublished(t *testing.T) {
	admin, namespace, publisher := connectorPod(t)
	words := make([]string, 1000)
	for i := range words {
		words[i] = strconv.Itoa(i) + strings.Repeat("x", 980)
	}
	large := set(t, "1", words...)
	_, err := publisher.Publish(t.Context(), large)
	require.NoError(t, err)
	require.Len(t, read(t, admin, namespace).Data, 1000)
}

func TestSecretSwitchesBetweenFormats(t *testing.T) {
	admin, namespace, publisher := connectorPod(t)
	large, err := NewSet("1", largeConfigs(), true)
	require.NoError(t, err)
	for range 2 {
		changed, err := publisher.Publish(t.Context(), large)
		require.NoError(t, err)
		require.True(t, changed)
		got := read(t, admin, namespace)
		require.Equal(t, large.Tasks.Data(), got.Data)
		reader := contract.NewTaskConfigReader(got.Data[contract.TaskCommonKey])
		for id, hash := range large.Tasks.Hashes {
			_, found, err := reader.Read(got.Data[contract.TaskConfigKey(id)])
			require.NoError(t, err)
			require.Equal(t, hash, found)
		}
		small := set(t, "1", "a")
		_, err = publisher.Publish(t.Context(), small)
		require.NoError(t, err)
		require.Equal(t, small.Tasks.Data(), read(t, admin, namespace).Data, "the common part is removed")
	}
}
