package transport_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/transport"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

func configMap(name, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"value": value}}
}

func TestCompletedWritesAreRecorded(t *testing.T) {
	t.Parallel()
	cp := testkit.Shared(t)
	namespace := cp.Namespace(t)
	config, proxy := transport.Wrap(cp.RESTConfig(), transport.IgnoreResources("events"))
	client := kubernetes.NewForConfigOrDie(config).CoreV1()
	maps := client.ConfigMaps(namespace)
	_, err := maps.Create(t.Context(), configMap("one", "1"), metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = maps.Create(t.Context(), configMap("one", "1"), metav1.CreateOptions{})
	require.Error(t, err, "the object already exists")
	_, err = maps.Create(t.Context(), configMap("two", "1"), metav1.CreateOptions{DryRun: []string{"All"}})
	require.NoError(t, err)
	_, err = maps.Update(t.Context(), configMap("one", "2"), metav1.UpdateOptions{})
	require.NoError(t, err)
	_, err = client.Events(namespace).
		Create(t.Context(), &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: "e"}, InvolvedObject: corev1.ObjectReference{Namespace: namespace},
		}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.NoError(t, maps.Delete(t.Context(), "one", metav1.DeleteOptions{}))
	var seen []string
	for _, w := range proxy.Writes() {
		require.Equal(t, namespace, w.Namespace)
		seen = append(seen, w.String())
	}
	require.Equal(t, []string{"create configmaps", "update configmaps one", "delete configmaps one"}, seen)
	require.Equal(t, 1, proxy.Count(func(w transport.Write) bool { return w.Verb == "update" }))
	require.WithinDuration(t, time.Now(), proxy.LastWrite(), 10*time.Second)
}

func TestClientIsKilledAfterACompletedWrite(t *testing.T) {
	t.Parallel()
	cp := testkit.Shared(t)
	namespace := cp.Namespace(t)
	config, proxy := transport.Wrap(
		cp.RESTConfig(),
		transport.AfterWrite(func(w transport.Write) transport.ReplyAction {
			if w.N == 3 {
				return transport.KillClient
			}
			return transport.DeliverReply
		}),
	)
	maps := kubernetes.NewForConfigOrDie(config).CoreV1().ConfigMaps(namespace)
	// Even concurrent writes after the third must not reach the server.
	var group sync.WaitGroup
	for i := range 10 {
		group.Go(func() {
			_, _ = maps.Create(t.Context(), configMap(fmt.Sprint("c", i), ""), metav1.CreateOptions{})
		})
	}
	group.Wait()
	_, err := maps.List(t.Context(), metav1.ListOptions{})
	require.ErrorIs(t, err, transport.ErrKilled)
	require.Equal(t, 3, proxy.Count(nil))
	all, err := cp.Client().
		CoreV1().
		ConfigMaps(namespace).
		List(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name!=kube-root-ca.crt"})
	require.NoError(t, err)
	require.Len(t, all.Items, 3)
}

func TestReplyIsDropped(t *testing.T) {
	t.Parallel()
	cp := testkit.Shared(t)
	namespace := cp.Namespace(t)
	config, _ := transport.Wrap(
		cp.RESTConfig(),
		transport.AfterWrite(func(transport.Write) transport.ReplyAction { return transport.DropReply }),
	)
	maps := kubernetes.NewForConfigOrDie(config).CoreV1().ConfigMaps(namespace)
	_, err := maps.Create(t.Context(), configMap("one", ""), metav1.CreateOptions{})
	require.ErrorIs(t, err, transport.ErrReplyLost)
	_, err = maps.Get(t.Context(), "one", metav1.GetOptions{})
	require.NoError(t, err)
}

// informersOf contains the kinds of informers that a client may use.
var informersOf = map[string]func(*rest.Config, string) cache.SharedIndexInformer{
	"typed, protobuf": func(config *rest.Config, namespace string) cache.SharedIndexInformer {
		config.ContentType = runtime.ContentTypeProtobuf
		factory := informers.NewSharedInformerFactoryWithOptions(
			kubernetes.NewForConfigOrDie(config),
			0,
			informers.WithNamespace(namespace),
		)
		return factory.Core().V1().ConfigMaps().Informer()
	},
	"typed, protobuf or JSON": func(config *rest.Config, namespace string) cache.SharedIndexInformer {
		config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
		factory := informers.NewSharedInformerFactoryWithOptions(
			kubernetes.NewForConfigOrDie(config),
			0,
			informers.WithNamespace(namespace),
		)
		return factory.Core().V1().ConfigMaps().Informer()
	},
	"dynamic, JSON": func(config *rest.Config, namespace string) cache.SharedIndexInformer {
		factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(
			dynamic.NewForConfigOrDie(config),
			0,
			namespace,
			nil,
		)
		return factory.ForResource(configMaps).Informer()
	},
	"metadata only": func(config *rest.Config, namespace string) cache.SharedIndexInformer {
		factory := metadatainformer.NewFilteredSharedInformerFactory(
			metadata.NewForConfigOrDie(config),
			0,
			namespace,
			nil,
		)
		return factory.ForResource(configMaps).Informer()
	},
}

// seen records the events of an informer except updates, because a relist repeats updates without changes.
type seen struct {
	sync.Mutex
	events []string
}

func (s *seen) add(what string, object any) {
	if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object, what = tombstone.Obj, what+" unobserved"
	}
	m := object.(metav1.Object)
	if m.GetName() == "kube-root-ca.crt" {
		return
	}
	s.Lock()
	defer s.Unlock()
	s.events = append(s.events, what+" "+m.GetName())
}

func (s *seen) all() []string {
	s.Lock()
	defer s.Unlock()
	return append([]string{}, s.events...)
}

func watchAll(t *testing.T, informer cache.SharedIndexInformer) *seen {
	t.Helper()
	s := &seen{}
	handle, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { s.add("add", o) },
		DeleteFunc: func(o any) { s.add("delete", o) },
	})
	require.NoError(t, err)
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); group.Wait() })
	group.Go(func() { informer.RunWithContext(ctx) })
	require.True(t, cache.WaitForCacheSync(t.Context().Done(), handle.HasSynced))
	return s
}

func (s *seen) eventually(t *testing.T, want ...string) {
	t.Helper()
	testkit.Eventually(t, 20*time.Second, func(context.Context) error {
		if got := s.all(); fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("saw %v, not %v", got, want)
		}
		return nil
	})
}

func TestWatchesArePerturbed(t *testing.T) {
	t.Parallel()
	cp := testkit.Shared(t)
	for name, informerOf := range informersOf {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := cp.Namespace(t)
			maps := cp.Client().CoreV1().ConfigMaps(namespace)
			create := func(name string) string {
				made, err := maps.Create(t.Context(), configMap(name, ""), metav1.CreateOptions{})
				require.NoError(t, err)
				return made.ResourceVersion
			}
			remove := func(name string) { require.NoError(t, maps.Delete(t.Context(), name, metav1.DeleteOptions{})) }
			config, proxy := transport.Wrap(cp.RESTConfig())
			saw := watchAll(t, informerOf(config, namespace))

			proxy.PauseWatches()
			create("paused")
			_, control := startControl(t, cp, namespace)
			control.eventually(t, "add paused")
			require.Empty(t, saw.all())
			proxy.ResumeWatches()
			saw.eventually(t, "add paused")

			proxy.DelayWatches(300 * time.Millisecond)
			start := time.Now()
			create("delayed")
			saw.eventually(t, "add paused", "add delayed")
			require.GreaterOrEqual(t, time.Since(start), 300*time.Millisecond)
			proxy.DelayWatches(0)

			proxy.DropEvents()
			create("unobserved")
			remove("unobserved")
			past := create("stays")
			remove("delayed")
			control.eventually(
				t,
				"add paused",
				"add delayed",
				"add unobserved",
				"delete unobserved",
				"add stays",
				"delete delayed",
			)
			require.Equal(t, []string{"add paused", "add delayed"}, saw.all())
			proxy.ForceRelist()
			testkit.Eventually(t, 20*time.Second, func(context.Context) error {
				if got := saw.all(); len(got) != 4 {
					return fmt.Errorf("saw %v", got)
				}
				return nil
			})
			require.ElementsMatch(
				t,
				[]string{"add paused", "add delayed", "add stays", "delete unobserved delayed"},
				saw.all(),
			)

			create("new")
			remove("paused")
			config, proxy = transport.Wrap(cp.RESTConfig())
			proxy.ServeStale(past)
			saw = watchAll(t, informerOf(config, namespace))
			require.ElementsMatch(t, []string{"add paused", "add delayed", "add stays"}, saw.all())
			proxy.ResumeWatches()
			testkit.Eventually(t, 20*time.Second, func(context.Context) error {
				if got := fmt.Sprint(saw.all()[3:]); got != "[delete delayed add new delete paused]" {
					return fmt.Errorf("saw %v", got)
				}
				return nil
			})
		})
	}
}

// startControl starts a watch without perturbations.
func startControl(t *testing.T, cp *testkit.ControlPlane, namespace string) (cache.SharedIndexInformer, *seen) {
	t.Helper()
	informer := informersOf["dynamic, JSON"](cp.RESTConfig(), namespace)
	return informer, watchAll(t, informer)
}
