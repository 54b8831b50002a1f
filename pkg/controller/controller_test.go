package controller_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/weir-dev/weir/pkg/controller"
)

type reconcile func(context.Context, controller.Key) (controller.Result, error)

func (r reconcile) Reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	return r(ctx, key)
}

// start runs a controller of ConfigMaps with a fake API. results returns the number of reconciles with a result.
func start(t *testing.T, client *fake.Clientset, r reconcile) (results func(string) int, stop func()) {
	t.Helper()
	registry := prometheus.NewRegistry()
	c := controller.New(
		"test",
		r,
		controller.Options{Log: slog.New(slog.DiscardHandler), Metrics: registry, Backoff: time.Millisecond},
	)
	factory := informers.NewSharedInformerFactory(client, 0)
	require.NoError(
		t,
		controller.Watch(c, factory.Core().V1().ConfigMaps().Informer(), controller.Self[*corev1.ConfigMap]),
	)
	ctx, cancel := context.WithCancel(context.Background())
	factory.Start(ctx.Done())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	stop = func() {
		cancel()
		select {
		case err := <-ended:
			require.NoError(t, err)
		case <-time.After(10 * time.Second):
			t.Fatal("the controller did not return")
		}
		ended <- nil
		factory.Shutdown()
	}
	t.Cleanup(stop)
	return func(result string) int {
		families, err := registry.Gather()
		require.NoError(t, err)
		for _, family := range families {
			for _, m := range family.Metric {
				for _, l := range m.Label {
					if family.GetName() == "weir_reconciles_total" && l.GetName() == "result" &&
						l.GetValue() == result {
						return int(m.Counter.GetValue())
					}
				}
			}
		}
		return 0
	}, stop
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	require.Eventually(t, holds, 10*time.Second, 2*time.Millisecond)
}

func TestExistingAddedAndDeletedObjectsAreReconciled(t *testing.T) {
	t.Parallel()
	client, seen := fake.NewClientset(configMap("first")), make(chan controller.Key, 10)
	start(t, client, func(_ context.Context, key controller.Key) (controller.Result, error) {
		seen <- key
		return controller.Result{}, nil
	})
	require.Equal(t, controller.Key{Namespace: "default", Name: "first"}, <-seen)
	_, err := client.CoreV1().
		ConfigMaps("default").
		Create(context.Background(), configMap("second"), metav1.CreateOptions{})
	require.NoError(t, err)
	require.Equal(t, controller.Key{Namespace: "default", Name: "second"}, <-seen)
	require.NoError(
		t,
		client.CoreV1().ConfigMaps("default").Delete(context.Background(), "second", metav1.DeleteOptions{}),
	)
	require.Equal(t, controller.Key{Namespace: "default", Name: "second"}, <-seen)
}

func TestErrorsAreRetried(t *testing.T) {
	t.Parallel()
	var tries atomic.Int32
	results, _ := start(
		t,
		fake.NewClientset(configMap("a")),
		func(context.Context, controller.Key) (controller.Result, error) {
			if tries.Add(1) < 3 {
				return controller.Result{}, errors.New("not yet")
			}
			return controller.Result{}, nil
		},
	)
	eventually(t, func() bool { return results("success") == 1 })
	require.Equal(t, 2, results("error"))
}

func TestTerminalErrorsAreNotRetried(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset(configMap("a"))
	results, _ := start(t, client, func(_ context.Context, key controller.Key) (controller.Result, error) {
		if key.Name == "a" {
			return controller.Result{}, controller.Terminal(errors.New("invalid spec"))
		}
		return controller.Result{}, nil
	})
	eventually(t, func() bool { return results("terminal_error") == 1 })
	_, err := client.CoreV1().ConfigMaps("default").Create(context.Background(), configMap("b"), metav1.CreateOptions{})
	require.NoError(t, err)
	eventually(t, func() bool { return results("success") == 1 })
	require.Equal(t, 1, results("terminal_error"), "the key was not retried")
}

func TestRequeueAfterStartsAnotherReconcile(t *testing.T) {
	t.Parallel()
	var runs atomic.Int32
	results, _ := start(
		t,
		fake.NewClientset(configMap("a")),
		func(context.Context, controller.Key) (controller.Result, error) {
			if runs.Add(1) == 1 {
				return controller.Result{RequeueAfter: time.Millisecond}, nil
			}
			return controller.Result{}, nil
		},
	)
	eventually(t, func() bool { return results("success") == 1 })
	require.Equal(t, 1, results("requeue_after"))
}

func TestRequeueAfterLimitsTheBackoffOfAnError(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"error": errors.New("unavailable"), "terminal_error": controller.Terminal(errors.New("invalid spec")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var runs atomic.Int32
			registry := prometheus.NewRegistry()
			c := controller.New("test", reconcile(func(context.Context, controller.Key) (controller.Result, error) {
				if runs.Add(1) == 1 {
					return controller.Result{RequeueAfter: time.Millisecond}, err
				}
				return controller.Result{}, nil
			}), controller.Options{
				Log: slog.New(slog.DiscardHandler), Metrics: registry, Backoff: time.Hour, MaxBackoff: time.Hour,
			})
			c.Enqueue(controller.Key{Name: "a"})
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- c.Run(ctx) }()
			eventually(t, func() bool { return runs.Load() == 2 })
			cancel()
			require.NoError(t, <-done)
		})
	}
}

func TestSyncedNamesTheCachesThatAreNotSynced(t *testing.T) {
	t.Parallel()
	c := controller.New("test", reconcile(nil), controller.Options{Metrics: prometheus.NewRegistry()})
	factory := informers.NewSharedInformerFactory(fake.NewClientset(), 0)
	require.NoError(
		t,
		controller.Watch(c, factory.Core().V1().ConfigMaps().Informer(), controller.Self[*corev1.ConfigMap]),
	)
	require.NoError(t, controller.Watch(c, factory.Core().V1().Secrets().Informer(), controller.Self[*corev1.Secret]))
	require.EqualError(t, c.Synced(t.Context()), "caches are not synced: ConfigMap, Secret")
	factory.Start(t.Context().Done())
	eventually(t, func() bool { return c.Synced(t.Context()) == nil })
}

func TestRunReturnsAfterRunningReconciles(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan struct{}), make(chan struct{})
	var finished atomic.Bool
	_, stop := start(
		t,
		fake.NewClientset(configMap("a")),
		func(ctx context.Context, _ controller.Key) (controller.Result, error) {
			close(begun)
			<-finish
			finished.Store(ctx.Err() == nil)
			return controller.Result{}, nil
		},
	)
	<-begun
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case <-stopped:
		t.Fatal("the controller returned during a reconcile")
	case <-time.After(20 * time.Millisecond):
	}
	close(finish)
	<-stopped
	require.True(t, finished.Load(), "the context of a running reconcile does not end with the controller")
}

func TestDebounceMergesABurstOfChanges(t *testing.T) {
	t.Parallel()
	var runs atomic.Int32
	c := controller.New("test", reconcile(func(context.Context, controller.Key) (controller.Result, error) {
		runs.Add(1)
		return controller.Result{}, nil
	}), controller.Options{
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Debounce: 200 * time.Millisecond,
	})
	client := fake.NewClientset()
	factory := informers.NewSharedInformerFactory(client, 0)
	require.NoError(
		t,
		controller.Watch(c, factory.Core().V1().ConfigMaps().Informer(), func(*corev1.ConfigMap) []controller.Key {
			return []controller.Key{{Namespace: "default", Name: "all"}}
		}),
	)
	ctx, cancel := context.WithCancel(context.Background())
	factory.Start(ctx.Done())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	factory.WaitForCacheSync(ctx.Done())
	for _, name := range []string{"a", "b", "c", "d"} {
		_, err := client.CoreV1().ConfigMaps("default").Create(ctx, configMap(name), metav1.CreateOptions{})
		require.NoError(t, err)
	}
	eventually(t, func() bool { return runs.Load() > 0 })
	require.EqualValues(t, 1, runs.Load())
	cancel()
	require.NoError(t, <-ended)
	factory.Shutdown()
}

func TestIgnoredUpdatesAreNotReconciled(t *testing.T) {
	t.Parallel()
	old := func() *appsv1.StatefulSet {
		return &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "a", Generation: 1, Labels: map[string]string{"a": "b"}},
		}
	}
	for name, test := range map[string]struct {
		change  func(*appsv1.StatefulSet)
		ignored bool
	}{
		"a changed status is ignored": {func(s *appsv1.StatefulSet) { s.Status.Replicas = 1 }, true},
		"changed managed fields are ignored": {func(s *appsv1.StatefulSet) {
			s.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "x"}}
		}, true},
		"a changed spec is not ignored":  {func(s *appsv1.StatefulSet) { s.Generation = 2 }, false},
		"a changed label is not ignored": {func(s *appsv1.StatefulSet) { s.Labels["a"] = "c" }, false},
		"a changed annotation is not ignored": {func(s *appsv1.StatefulSet) {
			s.Annotations = map[string]string{"a": "b"}
		}, false},
		"a changed owner is not ignored": {func(s *appsv1.StatefulSet) {
			s.OwnerReferences = []metav1.OwnerReference{{Name: "x"}}
		}, false},
		"a deletion is not ignored": {func(s *appsv1.StatefulSet) {
			s.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
		}, false},
		"another object with the name is not ignored": {func(s *appsv1.StatefulSet) { s.UID = "b" }, false},
		"an object without generation is not ignored": {func(s *appsv1.StatefulSet) { s.Generation = 0 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			updated := old()
			test.change(updated)
			require.Equal(t, test.ignored, controller.StatusOnly(old(), updated))
		})
	}

	set := old()
	client := fake.NewClientset(set)
	done := make(chan string, 10)
	c := controller.New("test", reconcile(func(_ context.Context, key controller.Key) (controller.Result, error) {
		done <- key.Name
		return controller.Result{}, nil
	}), controller.Options{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Workers: 1})
	factory := informers.NewSharedInformerFactory(client, 0)
	require.NoError(
		t,
		controller.Watch(
			c,
			factory.Apps().V1().StatefulSets().Informer(),
			controller.Self[*appsv1.StatefulSet],
			controller.StatusOnly,
		),
	)
	factory.Start(t.Context().Done())
	go func() { _ = c.Run(t.Context()) }()
	require.Equal(t, "a", <-done)
	set.ResourceVersion, set.Status.Replicas = "2", 1
	_, err := client.AppsV1().StatefulSets("").UpdateStatus(t.Context(), set, metav1.UpdateOptions{})
	require.NoError(t, err)
	_, err = client.AppsV1().
		StatefulSets("").
		Create(t.Context(), &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "b"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Equal(t, "b", <-done, "an update of the status is not reconciled")
	set.ResourceVersion, set.Generation = "3", 2
	_, err = client.AppsV1().StatefulSets("").Update(t.Context(), set, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.Equal(t, "a", <-done)
}

func TestChangesAreMappedToTheKeysThatDependOnThem(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset()
	done := make(chan string, 10)
	c := controller.New("test", reconcile(func(_ context.Context, key controller.Key) (controller.Result, error) {
		done <- key.Name
		return controller.Result{}, nil
	}), controller.Options{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Workers: 1})
	factory := informers.NewSharedInformerFactory(client, 0)
	informer := factory.Core().V1().ConfigMaps().Informer()
	// The key of a change is the data before and after it.
	require.NoError(t, controller.WatchChanges(c, informer, func(old, updated *corev1.ConfigMap) []controller.Key {
		name := "none"
		if old != nil {
			name = old.Data["a"]
		}
		if updated == nil {
			return []controller.Key{{Name: name + " to none"}}
		}
		return []controller.Key{{Name: name + " to " + updated.Data["a"]}}
	}))
	factory.Start(t.Context().Done())
	go func() { _ = c.Run(t.Context()) }()
	factory.WaitForCacheSync(t.Context().Done())
	maps := client.CoreV1().ConfigMaps("default")
	object := configMap("m")
	object.ResourceVersion, object.Data = "1", map[string]string{"a": "x"}
	_, err := maps.Create(t.Context(), object, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Equal(t, "none to x", <-done)
	object = object.DeepCopy()
	object.ResourceVersion, object.Data["a"] = "2", "y"
	_, err = maps.Update(t.Context(), object, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.Equal(t, "x to y", <-done)
	require.NoError(t, maps.Delete(t.Context(), "m", metav1.DeleteOptions{}))
	require.Equal(t, "y to none", <-done)
}

func TestFromLabelReturnsTheNameInTheLabel(t *testing.T) {
	t.Parallel()
	object := configMap("a")
	require.Empty(t, controller.FromLabel[*corev1.ConfigMap]("owner")(object))
	object.Labels = map[string]string{"owner": "b"}
	require.Equal(
		t,
		[]controller.Key{{Namespace: "default", Name: "b"}},
		controller.FromLabel[*corev1.ConfigMap]("owner")(object),
	)
}

func TestMetricsPassPrometheusLint(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	controller.New("lint", reconcile(nil), controller.Options{Metrics: registry})
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
}
