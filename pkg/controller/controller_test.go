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

// start runs a controller over the ConfigMaps of a fake API, and returns what counts its outcomes.
func start(t *testing.T, client *fake.Clientset, r reconcile) (outcomes func(string) int, stop func()) {
	t.Helper()
	registry := prometheus.NewRegistry()
	c := controller.New("test", r, controller.Options{Log: slog.New(slog.DiscardHandler), Metrics: registry, Backoff: time.Millisecond})
	factory := informers.NewSharedInformerFactory(client, 0)
	require.NoError(t, controller.Watch(c, factory.Core().V1().ConfigMaps().Informer(), controller.Self[*corev1.ConfigMap]))
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
			t.Fatal("the controller did not end")
		}
		ended <- nil
		factory.Shutdown()
	}
	t.Cleanup(stop)
	return func(outcome string) int {
		families, err := registry.Gather()
		require.NoError(t, err)
		for _, family := range families {
			for _, m := range family.Metric {
				for _, l := range m.Label {
					if family.GetName() == "weir_reconciles_total" && l.GetName() == "outcome" && l.GetValue() == outcome {
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

func TestReconcilesWhatIsThereAtTheStartAndWhatComesLater(t *testing.T) {
	t.Parallel()
	client, seen := fake.NewClientset(configMap("first")), make(chan controller.Key, 10)
	start(t, client, func(_ context.Context, key controller.Key) (controller.Result, error) {
		seen <- key
		return controller.Result{}, nil
	})
	require.Equal(t, controller.Key{Namespace: "default", Name: "first"}, <-seen)
	_, err := client.CoreV1().ConfigMaps("default").Create(context.Background(), configMap("second"), metav1.CreateOptions{})
	require.NoError(t, err)
	require.Equal(t, controller.Key{Namespace: "default", Name: "second"}, <-seen)
	require.NoError(t, client.CoreV1().ConfigMaps("default").Delete(context.Background(), "second", metav1.DeleteOptions{}))
	require.Equal(t, controller.Key{Namespace: "default", Name: "second"}, <-seen)
}

func TestTriesAgainAfterAnError(t *testing.T) {
	t.Parallel()
	var tries atomic.Int32
	outcomes, _ := start(t, fake.NewClientset(configMap("a")), func(context.Context, controller.Key) (controller.Result, error) {
		if tries.Add(1) < 3 {
			return controller.Result{}, errors.New("not yet")
		}
		return controller.Result{}, nil
	})
	eventually(t, func() bool { return outcomes("done") == 1 })
	require.Equal(t, 2, outcomes("failed"))
}

func TestDoesNotTryAgainAfterATerminalError(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset(configMap("a"))
	outcomes, _ := start(t, client, func(_ context.Context, key controller.Key) (controller.Result, error) {
		if key.Name == "a" {
			return controller.Result{}, controller.Terminal(errors.New("the spec is wrong"))
		}
		return controller.Result{}, nil
	})
	eventually(t, func() bool { return outcomes("terminal") == 1 })
	_, err := client.CoreV1().ConfigMaps("default").Create(context.Background(), configMap("b"), metav1.CreateOptions{})
	require.NoError(t, err)
	eventually(t, func() bool { return outcomes("done") == 1 })
	require.Equal(t, 1, outcomes("terminal"), "the queue has moved on without another try")
}

func TestComesBackWhenAsked(t *testing.T) {
	t.Parallel()
	var runs atomic.Int32
	outcomes, _ := start(t, fake.NewClientset(configMap("a")), func(context.Context, controller.Key) (controller.Result, error) {
		if runs.Add(1) == 1 {
			return controller.Result{RequeueAfter: time.Millisecond}, nil
		}
		return controller.Result{}, nil
	})
	eventually(t, func() bool { return outcomes("done") == 1 })
	require.Equal(t, 1, outcomes("again"))
}

func TestRunEndsOnlyWhenTheReconcileUnderWayHasEnded(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan struct{}), make(chan struct{})
	var finished atomic.Bool
	_, stop := start(t, fake.NewClientset(configMap("a")), func(ctx context.Context, _ controller.Key) (controller.Result, error) {
		close(begun)
		<-finish
		finished.Store(ctx.Err() == nil)
		return controller.Result{}, nil
	})
	<-begun
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case <-stopped:
		t.Fatal("the controller ended in the middle of a reconcile")
	case <-time.After(20 * time.Millisecond):
	}
	close(finish)
	<-stopped
	require.True(t, finished.Load(), "the reconcile under way keeps a live context")
}

func TestABurstOfChangesCostsOneReconcile(t *testing.T) {
	t.Parallel()
	var runs atomic.Int32
	c := controller.New("test", reconcile(func(context.Context, controller.Key) (controller.Result, error) {
		runs.Add(1)
		return controller.Result{}, nil
	}), controller.Options{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Debounce: 200 * time.Millisecond})
	client := fake.NewClientset()
	factory := informers.NewSharedInformerFactory(client, 0)
	require.NoError(t, controller.Watch(c, factory.Core().V1().ConfigMaps().Informer(), func(*corev1.ConfigMap) []controller.Key {
		return []controller.Key{{Namespace: "default", Name: "one for all"}}
	}))
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

func TestAnUpdateOfNoInterestCostsNoReconcile(t *testing.T) {
	t.Parallel()
	was := func() *appsv1.StatefulSet {
		return &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "a", Generation: 1, Labels: map[string]string{"a": "b"}}}
	}
	for name, test := range map[string]struct {
		change func(*appsv1.StatefulSet)
		alone  bool
	}{
		"the status is":                 {func(s *appsv1.StatefulSet) { s.Status.Replicas = 1 }, true},
		"the managers are":              {func(s *appsv1.StatefulSet) { s.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "x"}} }, true},
		"a spec is not":                 {func(s *appsv1.StatefulSet) { s.Generation = 2 }, false},
		"a label is not":                {func(s *appsv1.StatefulSet) { s.Labels["a"] = "c" }, false},
		"an annotation is not":          {func(s *appsv1.StatefulSet) { s.Annotations = map[string]string{"a": "b"} }, false},
		"an owner is not":               {func(s *appsv1.StatefulSet) { s.OwnerReferences = []metav1.OwnerReference{{Name: "x"}} }, false},
		"a deletion is not":             {func(s *appsv1.StatefulSet) { s.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }, false},
		"another of its name not":       {func(s *appsv1.StatefulSet) { s.UID = "b" }, false},
		"what has no generation is not": {func(s *appsv1.StatefulSet) { s.Generation = 0 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := was()
			test.change(is)
			require.Equal(t, test.alone, controller.StatusOnly(was(), is))
		})
	}

	set := was()
	client := fake.NewClientset(set)
	done := make(chan string, 10)
	c := controller.New("test", reconcile(func(_ context.Context, key controller.Key) (controller.Result, error) {
		done <- key.Name
		return controller.Result{}, nil
	}), controller.Options{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Workers: 1})
	factory := informers.NewSharedInformerFactory(client, 0)
	require.NoError(t, controller.Watch(c, factory.Apps().V1().StatefulSets().Informer(), controller.Self[*appsv1.StatefulSet], controller.StatusOnly))
	factory.Start(t.Context().Done())
	go func() { _ = c.Run(t.Context()) }()
	require.Equal(t, "a", <-done)
	set.ResourceVersion, set.Status.Replicas = "2", 1
	_, err := client.AppsV1().StatefulSets("").UpdateStatus(t.Context(), set, metav1.UpdateOptions{})
	require.NoError(t, err)
	_, err = client.AppsV1().StatefulSets("").Create(t.Context(), &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "b"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Equal(t, "b", <-done, "a change of the status costs none")
	set.ResourceVersion, set.Generation = "3", 2
	_, err = client.AppsV1().StatefulSets("").Update(t.Context(), set, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.Equal(t, "a", <-done)
}

func TestMapsByLabel(t *testing.T) {
	t.Parallel()
	object := configMap("a")
	require.Empty(t, controller.FromLabel[*corev1.ConfigMap]("owner")(object))
	object.Labels = map[string]string{"owner": "b"}
	require.Equal(t, []controller.Key{{Namespace: "default", Name: "b"}}, controller.FromLabel[*corev1.ConfigMap]("owner")(object))
}

func TestMetricsPassPrometheusLint(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	controller.New("lint", reconcile(nil), controller.Options{Metrics: registry})
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
}
