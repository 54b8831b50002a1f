package leader_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/weir-dev/weir/pkg/leader"
)

func options(client *fake.Clientset, identity string) leader.Options {
	return leader.Options{Client: client, Namespace: "weir-system", Name: "test", Identity: identity,
		LeaseDuration: time.Second, RenewDeadline: 500 * time.Millisecond, RetryPeriod: 10 * time.Millisecond}
}

func TestNextLeaderStartsAfterTheWorkOfTheFirstHasDrained(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset()
	first, stopFirst := context.WithCancel(context.Background())
	second, stopSecond := context.WithCancel(context.Background())
	defer stopSecond()
	leads, drain, order := make(chan struct{}), make(chan struct{}), make(chan string, 2)
	ended := make(chan error, 2)
	go func() {
		ended <- leader.Run(first, options(client, "first"), func(ctx context.Context) error {
			close(leads)
			<-ctx.Done()
			<-drain
			order <- "first drained"
			return nil
		})
	}()
	<-leads
	go func() {
		ended <- leader.Run(second, options(client, "second"), func(context.Context) error {
			order <- "second leads"
			return nil
		})
	}()
	stopFirst()
	time.AfterFunc(1500*time.Millisecond, func() { close(drain) })
	require.Equal(t, "first drained", <-order, "the lease was renewed while the work drained")
	require.Equal(t, "second leads", <-order)
	require.NoError(t, <-ended)
	require.NoError(t, <-ended)
}

func TestLostLeaseEndsTheWork(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset()
	var unavailable atomic.Bool
	client.PrependReactor("update", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		return unavailable.Load(), nil, errors.New("unavailable")
	})
	err := leader.Run(context.Background(), options(client, "only"), func(ctx context.Context) error {
		unavailable.Store(true)
		<-ctx.Done()
		return nil
	})
	require.ErrorIs(t, err, leader.ErrLeaseLost)
}

func TestErrorOfTheWorkIsReturnedAndTheLeaseReleased(t *testing.T) {
	t.Parallel()
	client, broken := fake.NewClientset(), errors.New("broken")
	require.ErrorIs(
		t,
		leader.Run(context.Background(), options(client, "only"), func(context.Context) error { return broken }),
		broken,
	)
	lease, err := client.CoordinationV1().Leases("weir-system").Get(context.Background(), "test", metav1.GetOptions{})
	require.NoError(t, err)
	require.Empty(t, *lease.Spec.HolderIdentity)
}

func TestRunReturnsWhileItWaitsForTheLease(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	leads := make(chan struct{})
	go func() {
		_ = leader.Run(
			ctx,
			options(client, "first"),
			func(ctx context.Context) error { close(leads); <-ctx.Done(); return nil },
		)
	}()
	<-leads
	waiting, stop := context.WithTimeout(ctx, 50*time.Millisecond)
	defer stop()
	require.NoError(
		t,
		leader.Run(
			waiting,
			options(client, "second"),
			func(context.Context) error { return errors.New("must not lead") },
		),
	)
}
