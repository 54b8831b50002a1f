// Package leader lets one replica at a time work. The lease is held until the work has drained, so that two leaders never overlap.
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

// ErrLost is returned when the lease could not be renewed in time: another replica may lead, so the process has to end.
var ErrLeaseLost = errors.New("the leader's lease was lost")

// Options of an election. The durations default to those of Kubernetes' own components.
type Options struct {
	// Client writes the lease.
	Client kubernetes.Interface
	// Namespace and Name of the lease.
	Namespace, Name string
	// Identity of this replica; the pod's name is a good one.
	Identity string
	// LeaseDuration is how long others wait before they take over from a leader that is silent; 15 s.
	LeaseDuration time.Duration
	// RenewDeadline is how long the leader tries to renew before it gives up; 10 s.
	RenewDeadline time.Duration
	// RetryPeriod is the time between tries; 2 s.
	RetryPeriod time.Duration
}

// Run waits for the lease, runs work, and releases the lease once work has returned. It returns nil when ctx ended,
// ErrLost when the lease was lost, or the error of work. The context of work ends with ctx, and when the lease is lost.
func Run(ctx context.Context, o Options, work func(context.Context) error) error {
	held, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	started, worked := make(chan struct{}), make(chan error, 1)
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
				worked <- work(both)
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("prepare the election of %s/%s: %w", o.Namespace, o.Name, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		elector.Run(held)
	}()
	return await(ctx, release, started, ended, worked)
}

func await(ctx context.Context, release func(), started, ended <-chan struct{}, worked <-chan error) error {
	select {
	case <-ctx.Done():
		select {
		case <-started:
		default:
			release()
			<-ended
			// The lease may have been won in the same moment; then work runs, with a context that has ended.
			select {
			case <-started:
			default:
				return nil
			}
		}
		err := <-worked
		release()
		<-ended
		return err
	case err := <-worked:
		release()
		<-ended
		return err
	case <-ended:
		return errors.Join(ErrLeaseLost, <-worked)
	}
}

func or(given, otherwise time.Duration) time.Duration {
	if given == 0 {
		return otherwise
	}
	return given
}
