package apply_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/weir-dev/weir/pkg/apply"
)

var configMaps = schema.GroupResource{Resource: "configmaps"}

func namespaceTerminating() error {
	err := apierrors.NewForbidden(configMaps, "a", errors.New("namespace x is being terminated"))
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	return err
}

func TestErrorsAreClassified(t *testing.T) {
	t.Parallel()
	type class struct{ rejected, permanent, gone, terminating bool }
	for name, test := range map[string]struct {
		err  error
		want class
	}{
		"nil": {nil, class{}},
		"invalid": {
			apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, "a", field.ErrorList{}),
			class{rejected: true, permanent: true},
		},
		"bad request": {
			apierrors.NewBadRequest("x"), class{rejected: true, permanent: true},
		},
		"too large": {
			apierrors.NewRequestEntityTooLargeError("x"), class{rejected: true, permanent: true},
		},
		"forbidden": {
			apierrors.NewForbidden(configMaps, "a", errors.New("quota")), class{rejected: true},
		},
		"forbidden in a terminating namespace": {namespaceTerminating(), class{terminating: true}},
		"not found":                            {apierrors.NewNotFound(configMaps, "a"), class{gone: true}},
		"conflict": {
			apierrors.NewConflict(configMaps, "a", errors.New("x")), class{gone: true},
		},
		"server timeout": {apierrors.NewServerTimeout(configMaps, "get", 1), class{}},
		"too many requests": {
			apierrors.NewGenericServerResponse(http.StatusTooManyRequests, "get", configMaps, "a", "", 1, true),
			class{},
		},
		"an error of the network": {errors.New("connection refused"), class{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, err := range []error{test.err, wrap(test.err)} {
				require.Equal(t, test.want, class{
					apply.IsRejected(err), apply.IsPermanent(err), apply.IsGone(err), apply.IsNamespaceTerminating(err),
				})
			}
		})
	}
}

// wrap is how a batch returns an error.
func wrap(err error) error {
	if err == nil {
		return nil
	}
	return &apply.WriteError{Verb: "apply", Kind: "ConfigMap", Name: "a", Err: err}
}

func managedBy(name string) map[string]string { return map[string]string{apply.LabelManagedBy: name} }

func TestCheckManagedNamesTheOwner(t *testing.T) {
	t.Parallel()
	controller := true
	for name, test := range map[string]struct {
		object *corev1.Service
		want   string
	}{
		"no object": {nil, ""},
		"an object of the manager": {
			&corev1.Service{ObjectMeta: metav1.ObjectMeta{Labels: managedBy(manager)}}, "",
		},
		"an object of another manager": {
			&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: managedBy("helm")}},
			`Service "a" exists and is not managed by weir-test (owner: helm); rename or delete it`,
		},
		"an object of a controller": {
			&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "a", OwnerReferences: []metav1.OwnerReference{
				{Kind: "Kafka", Name: "x", Controller: &controller},
			}}},
			`Service "a" exists and is not managed by weir-test (owner: Kafka/x); rename or delete it`,
		},
		"an object that a client created": {
			&corev1.Service{ObjectMeta: metav1.ObjectMeta{
				Name: "a", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
			}},
			`Service "a" exists and is not managed by weir-test (owner: kubectl); rename or delete it`,
		},
		"an object without a trace of its owner": {
			&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "a"}},
			`Service "a" exists and is not managed by weir-test (owner: unknown); rename or delete it`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := apply.CheckManaged("Service", test.object, manager)
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, test.want)
		})
	}
}

func TestBatchStopsAtTheFirstError(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset()
	client.PrependReactor("patch", "configmaps", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.(clienttesting.PatchAction).GetName() == "second" {
			return true, nil, apierrors.NewBadRequest("no")
		}
		return false, nil, nil
	})
	recorder := &recorder{}
	b := apply.NewBatch(apply.WithObserver(context.Background(), recorder), manager)
	maps := client.CoreV1().ConfigMaps("default")
	apply.All(b, "ConfigMap", maps, []*corev1ac.ConfigMapApplyConfiguration{
		corev1ac.ConfigMap(
			"first",
			"default",
		), corev1ac.ConfigMap("second", "default"), corev1ac.ConfigMap("third", "default"),
	})
	apply.DeleteAll(b, "ConfigMap", maps, []*corev1.ConfigMap{{ObjectMeta: metav1.ObjectMeta{Name: "first"}}})
	require.EqualError(t, b.Err(), "apply ConfigMap second: no")
	require.True(t, apply.IsRejected(b.Err()))
	require.Equal(t, []string{"wrote first"}, recorder.seen)
}

func TestDeleteAllIgnoresObjectsThatAreGone(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "here"}})
	recorder := &recorder{}
	b := apply.NewBatch(apply.WithObserver(context.Background(), recorder), manager)
	apply.DeleteAll(b, "ConfigMap", client.CoreV1().ConfigMaps("default"), []*corev1.ConfigMap{
		{ObjectMeta: metav1.ObjectMeta{Name: "gone"}}, {ObjectMeta: metav1.ObjectMeta{Name: "here"}},
	})
	require.NoError(t, b.Err())
	require.Equal(t, []string{"deleted here"}, recorder.seen)
}

// The fake client ignores preconditions, so these tests read them from the request. The integration tests of pkg run
// them against an API server.
func TestPatchesNameTheObjectThatWasRead(t *testing.T) {
	t.Parallel()
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: "a", UID: "u", ResourceVersion: "7",
		Annotations: map[string]string{"request": "yes", "keep": "1"},
	}}
	for name, test := range map[string]struct {
		patch func(context.Context, *fake.Clientset) error
		want  string
	}{
		"RemoveAnnotations": {func(ctx context.Context, c *fake.Clientset) error {
			_, err := apply.RemoveAnnotations(ctx, c.CoreV1().ConfigMaps("default"), manager, object, "request")
			return err
		}, `{"metadata":{"annotations":{"request":null},"uid":"u"}}`},
		"SetAnnotations": {func(ctx context.Context, c *fake.Clientset) error {
			maps, annotations := c.CoreV1().ConfigMaps("default"), map[string]string{"x": "y"}
			_, err := apply.SetAnnotations(ctx, maps, manager, object, annotations)
			return err
		}, `{"metadata":{"annotations":{"x":"y"},"uid":"u"}}`},
		"MergePatch of the same version": {func(ctx context.Context, c *fake.Clientset) error {
			_, err := apply.MergePatch(ctx, c.CoreV1().ConfigMaps("default"), manager, object, apply.SameVersion,
				map[string]any{"data": map[string]any{"k": nil}})
			return err
		}, `{"data":{"k":null},"metadata":{"resourceVersion":"7","uid":"u"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, recorder := fake.NewClientset(object.DeepCopy()), &recorder{}
			require.NoError(t, test.patch(apply.WithObserver(context.Background(), recorder), client))
			require.Equal(t, []string{"wrote a"}, recorder.seen)
			action := client.Actions()[0].(clienttesting.PatchAction)
			require.JSONEq(t, test.want, string(action.GetPatch()))
		})
	}
}

func TestUpdateStatusWritesTheVersionThatWasRead(t *testing.T) {
	t.Parallel()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a", UID: "u", ResourceVersion: "7"}}
	client, recorder := fake.NewClientset(pod.DeepCopy()), &recorder{}
	ctx, pods := apply.WithObserver(context.Background(), recorder), client.CoreV1().Pods("default")
	pod.Status.Phase = corev1.PodRunning
	_, err := apply.UpdateStatus(ctx, pods, manager, pod)
	require.NoError(t, err)
	action := client.Actions()[0].(clienttesting.UpdateActionImpl)
	require.Equal(t, "status", action.GetSubresource())
	require.Equal(t, manager, action.UpdateOptions.FieldManager)
	written := action.GetObject().(*corev1.Pod)
	require.Equal(t, "7", written.ResourceVersion)
	require.EqualValues(t, "u", written.UID)
	require.Equal(t, corev1.PodRunning, written.Status.Phase)

	client.PrependReactor("update", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, "a", nil)
	})
	_, err = apply.UpdateStatus(ctx, pods, manager, pod)
	require.True(t, apply.IsGone(err), "%v", err)
	require.Equal(t, []string{"wrote a"}, recorder.seen, "the observer is not notified of a failed write")
}

func TestCompareAndSwapCreatesUpdatesAndDeletes(t *testing.T) {
	t.Parallel()
	client, recorder := fake.NewClientset(), &recorder{}
	ctx, maps := apply.WithObserver(context.Background(), recorder), client.CoreV1().ConfigMaps("default")
	var none *corev1.ConfigMap
	next := func(value string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Data: map[string]string{"k": value}}
	}
	written, err := apply.CompareAndSwap(ctx, maps, manager, none, none)
	require.NoError(t, err)
	require.Nil(t, written)
	created, err := apply.CompareAndSwap(ctx, maps, manager, none, next("1"))
	require.NoError(t, err)
	_, err = apply.CompareAndSwap(ctx, maps, manager, none, next("2"))
	require.True(t, apply.IsSwapLost(err), "another client created the object: %v", err)
	created.UID, created.ResourceVersion = "u", "7"
	_, err = apply.CompareAndSwap(ctx, maps, manager, created, next("3"))
	require.NoError(t, err)
	updated := client.Actions()[2].(clienttesting.UpdateAction).GetObject().(*corev1.ConfigMap)
	require.Equal(t, "7", updated.ResourceVersion)
	require.EqualValues(t, "u", updated.UID)
	_, err = apply.CompareAndSwap(ctx, maps, manager, created, none)
	require.NoError(t, err)
	preconditions := client.Actions()[3].(clienttesting.DeleteActionImpl).DeleteOptions.Preconditions
	require.Equal(t, "7", *preconditions.ResourceVersion)
	require.Equal(t, []string{"wrote a", "wrote a", "deleted a"}, recorder.seen)
}

func TestGroupsOfABatchAreWrittenAtTheSameTime(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset()
	maps, started := client.CoreV1().ConfigMaps("x"), make(chan struct{})
	b := apply.NewBatch(context.Background(), manager)
	all := func(names ...string) func(*apply.Batch) {
		return func(b *apply.Batch) {
			for _, name := range names {
				apply.All(b, "ConfigMap", maps, []*corev1ac.ConfigMapApplyConfiguration{corev1ac.ConfigMap(name, "x")})
			}
		}
	}
	b.Concurrently(
		func(b *apply.Batch) { <-started; all("a", "b")(b) },
		func(b *apply.Batch) { close(started); all("c")(b) },
	)
	require.NoError(t, b.Err())
	for _, name := range []string{"a", "b", "c"} {
		_, err := maps.Get(context.Background(), name, metav1.GetOptions{})
		require.NoError(t, err)
	}
}

func TestFailedGroupStopsTheBatchAfterTheOtherGroupsAreWritten(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset()
	client.PrependReactor("patch", "configmaps", func(action clienttesting.Action) (bool, runtime.Object, error) {
		name := action.(clienttesting.PatchAction).GetName()
		return name[0] == 'x', nil, errors.New("refused " + name)
	})
	maps := client.CoreV1().ConfigMaps("x")
	b := apply.NewBatch(context.Background(), manager)
	all := func(names ...string) func(*apply.Batch) {
		return func(b *apply.Batch) {
			for _, name := range names {
				apply.All(b, "ConfigMap", maps, []*corev1ac.ConfigMapApplyConfiguration{corev1ac.ConfigMap(name, "x")})
			}
		}
	}
	b.Concurrently(all("a", "x1", "not-written"), all("x2"), all("b"))
	require.EqualError(t, b.Err(), "apply ConfigMap x1: refused x1")
	b.Concurrently(all("c"))
	all("d")(b)
	list, err := maps.List(context.Background(), metav1.ListOptions{})
	require.NoError(t, err)
	var written []string
	for _, m := range list.Items {
		written = append(written, m.Name)
	}
	require.Equal(t, []string{"a", "b"}, written)
}
