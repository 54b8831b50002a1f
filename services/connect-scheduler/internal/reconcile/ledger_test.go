package reconcile

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	connectlisters "github.com/weir-dev/weir/generated/listers/connect/v1"
	"github.com/weir-dev/weir/pkg/controller"
)

func key(namespace, name string) controller.Key {
	return controller.Key{Namespace: namespace, Name: name}
}

// newLedger returns a ledger with a limit, and the keys that it wakes.
func newLedger(limit int, existing ...*connectv1.KafkaConnector) (*ledger, *[]controller.Key) {
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for _, c := range existing {
		_ = indexer.Add(c)
	}
	woken := &[]controller.Key{}
	return &ledger{
		limit:   func() int { return limit },
		wake:    func(k controller.Key) { *woken = append(*woken, k) },
		listers: connectlisters.NewKafkaConnectorLister(indexer),
	}, woken
}

func TestDefaultLimitIsATenthOfThePodsFromOneToTwenty(t *testing.T) {
	t.Parallel()
	for pods, want := range map[int]int{0: 1, 9: 1, 20: 2, 199: 19, 1000: 20} {
		require.Equal(t, want, DefaultMaxRestartingPods(pods), pods)
	}
}

func TestWaitingConnectorsAreServedInTheOrderOfTheirArrival(t *testing.T) {
	t.Parallel()
	l, woken := newLedger(2)
	require.Equal(t, 2, l.acquire(key("a", "first"), usage{}, 5, false))
	l.set(key("a", "first"), usage{pods: 2}, true)
	require.Zero(t, l.acquire(key("a", "second"), usage{}, 1, false))
	require.Zero(t, l.acquire(key("b", "third"), usage{}, 1, false))
	l.set(key("a", "first"), usage{pods: 1}, true)
	require.Zero(t, l.acquire(key("a", "second"), usage{}, 1, false), "the first waits with its other pods")
	l.set(key("a", "first"), usage{pods: 1}, false)
	require.Equal(t, []controller.Key{key("a", "second")}, *woken)
	require.Zero(t, l.acquire(key("b", "third"), usage{}, 1, false), "the second arrived earlier")
	require.Equal(t, 1, l.acquire(key("a", "second"), usage{}, 1, false))
	require.Zero(t, l.acquire(key("b", "third"), usage{}, 1, false))
	l.set(key("a", "first"), usage{}, false)
	require.Equal(t, key("b", "third"), (*woken)[len(*woken)-1])
	require.Equal(t, 1, l.acquire(key("b", "third"), usage{}, 1, false))
	restarting, waiting := l.counts()
	require.Equal(t, []int{2, 0}, []int{restarting, waiting})
}

func TestConnectorDoesNotWaitForItsOwnPodsThatAreReadyAgain(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(1)
	require.Equal(t, 1, l.acquire(key("a", "x"), usage{}, 1, false))
	l.set(key("a", "x"), usage{pods: 1}, false)
	require.Zero(t, l.acquire(key("a", "x"), usage{pods: 1}, 1, false))
	require.Equal(t, 1, l.acquire(key("a", "x"), usage{}, 1, false))
}

func TestFailingPodsOfOneNamespaceDoNotStopAnother(t *testing.T) {
	t.Parallel()
	l, woken := newLedger(2)
	require.Equal(t, 2, l.acquire(key("bad", "x"), usage{}, 2, false))
	l.set(key("bad", "x"), usage{pods: 2}, false)
	require.Zero(t, l.acquire(key("bad", "y"), usage{}, 1, false))
	require.Zero(t, l.acquire(key("good", "z"), usage{}, 1, false))
	l.set(key("bad", "x"), usage{pods: 2, failing: 2}, false)
	require.Equal(t, []controller.Key{key("good", "z")}, *woken)
	require.Zero(t, l.acquire(key("bad", "y"), usage{}, 1, false), "the failures count in their own namespace")
	require.Equal(t, 1, l.acquire(key("good", "z"), usage{}, 1, false))
}

func TestSetThatIsLargerThanTheLimitRunsAlone(t *testing.T) {
	t.Parallel()
	l, woken := newLedger(2)
	require.Equal(t, 1, l.acquire(key("a", "small"), usage{}, 1, false))
	l.set(key("a", "small"), usage{pods: 1}, false)
	require.Zero(t, l.acquire(key("a", "large"), usage{}, 5, true))
	require.Zero(t, l.acquire(key("a", "later"), usage{}, 1, false), "the large set arrived earlier")
	l.set(key("a", "small"), usage{}, false)
	require.Equal(t, []controller.Key{key("a", "large")}, *woken)
	require.Equal(t, 5, l.acquire(key("a", "large"), usage{}, 5, true))
	l.set(key("a", "large"), usage{pods: 5}, false)
	require.Zero(t, l.acquire(key("a", "later"), usage{}, 1, false))
}

func TestLimitIncludesThePodsThatAnotherProcessHasRestarted(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(2, &connectv1.KafkaConnector{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "x"},
		Status:     connectv1.KafkaConnectorStatus{Restarting: []connectv1.RestartingPod{{Pod: "x-tasks-0"}}},
	})
	require.Equal(t, 1, l.acquire(key("a", "y"), usage{}, 5, false))
	l.set(key("a", "x"), usage{}, false)
	require.Equal(t, 1, l.acquire(key("a", "y"), usage{pods: 1}, 5, false))
}
