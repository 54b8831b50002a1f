// Package leader runs work in one replica at a time. The leader holds the lease until its work has drained, so that two
// leaders never overlap.
package leader

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// ErrLeaseLost is returned if the lease was not renewed in time. Another replica may lead, so the process must exit.
var ErrLeaseLost = errors.New("leader election lost")

// Options configure an election. The default durations are those of Kubernetes' own components.
type Options struct {
	// Client reads and writes the lease.
	Client kubernetes.Interface
	// Namespace and Name of the lease.
	Namespace, Name string
	// Identity of this replica, usually the name of its pod.
	Identity string
	// LeaseDuration is how long other replicas wait for a renewal before they take over; the default is 15 s.
	LeaseDuration time.Duration
	// RenewDeadline is how long the leader retries a renewal before it gives up; the default is 10 s.
	RenewDeadline time.Duration
	// RetryPeriod is the time between attempts; the default is 2 s.
	RetryPeriod time.Duration
}

// Run waits for the lease, runs work, and releases the lease after work has returned. It returns nil after ctx has
// ended, ErrLeaseLost if the lease was lost, or the error of work. The context of work ends with ctx or when the lease
// is lost.
func Run(ctx context.Context, o Options, work func(context.Context) error) error {
	held, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	started, done := make(chan struct{}), make(chan error, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Name: o.Name,
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name},
			Client:     o.Client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: o.Identity},
		},
		LeaseDuration:   or(o.LeaseDuration, 15*time.Second),
		RenewDeadline:   or(o.RenewDeadline, 10*time.Second),
		RetryPeriod:     or(o.RetryPeriod, 2*time.Second),
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) {
				close(started)
				both, cancel := context.WithCancel(leading)
				defer cancel()
				defer context.AfterFunc(ctx, cancel)()
				done <- work(both)
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("configure leader election with lease %s/%s: %w", o.Namespace, o.Name, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		elector.Run(held)
	}()
	return await(ctx, release, started, ended, done)
}

func await(ctx context.Context, release func(), started, ended <-chan struct{}, done <-chan error) error {
	select {
	case <-ctx.Done():
		select {
		case <-started:
		default:
			release()
			<-ended
			// The replica may have acquired the lease at the same time. Then work runs with an ended context.
			select {
			case <-started:
			default:
				return nil
			}
		}
		err := <-done
		release()
		<-ended
		return err
	case err := <-done:
		release()
		<-ended
		return err
	case <-ended:
		return errors.Join(ErrLeaseLost, <-done)
	}
}

func or(given, fallback time.Duration) time.Duration {
	if given == 0 {
		return fallback
	}
	return given
}
