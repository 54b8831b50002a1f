package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/admission"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/pkg/health"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/annotations"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/claims"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/evaluate"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/lookup"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/reconcile"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/webhook"
)

// service holds what the tasks of a process share.
type service struct {
	config    *Config
	env       app.Env
	listening func(net.Addr)

	weir   *versioned.Clientset
	lookup *lookup.Lookup
	caches *reconcile.Caches
	certs  admission.CertStore
	claims *claims.Claims
	// policies is the policy controller. Reviews may enqueue policies before it runs.
	policies atomic.Pointer[controller.Controller]
}

// plan builds all tasks of the process.
func (s *service) plan(ctx context.Context) (app.Components, error) {
	if err := s.connect(ctx); err != nil {
		return app.Components{}, err
	}
	metrics := webhook.NewMetrics(s.env.Metrics, s.certs.NotAfter)
	clusters := kafka.New(kafka.Options{
		Secrets: s.lookup, MaxAge: s.config.SnapshotAge, MaxResponse: s.config.MaxKafkaResponse,
		Now: s.env.Now, Log: s.env.Log, Observe: metrics.KafkaQueried,
	})
	settings := s.config.Settings
	settings.ReplacementTimeout = s.config.Patience.ReplacementTimeout
	evaluator := &evaluate.Evaluator{
		Settings: settings, Sources: s.lookup, Kafka: clusters, Claims: s.claims,
		Now: s.env.Now, Log: s.env.Log,
	}
	queue := annotations.New(s.env.Client, decide.Manager, s.env.Now, s.env.Log, metrics.Rolled)
	serve, err := s.server(webhook.New(evaluator, queue, s.env.Events, metrics, s.env.Now, s.env.Log), metrics)
	if err != nil {
		return app.Components{}, err
	}
	certificate, issue := s.certificates()
	plan := app.Components{
		// Reviews are answered after ctx ends, so everything that they depend on has to run as long.
		Always: []app.Runnable{func(ctx context.Context) error {
			return runUntil(ctx, serve, s.lookup.Run, clusters.Run, queue.Run, certificate, s.runLeaseCache)
		}},
		LeaderOnly: issue,
		ReadyChecks: map[string]health.Check{
			"caches": s.lookup.Synced,
			"certificate": func(context.Context) error {
				return s.certs.Ready(s.env.Now(), s.config.CertificateMargin)
			},
		},
		// The path of the probes in Strimzi's manifests.
		ReadyPaths: []string{"/health"},
	}
	plan.ReadyChecks["claims"] = s.caches.Synced
	controllers, err := s.controllers(evaluator)
	plan.LeaderOnly = append(plan.LeaderOnly, controllers...)
	return plan, err
}

// connect makes the clients and the caches.
func (s *service) connect(ctx context.Context) error {
	var err error
	if s.weir, err = versioned.NewForConfig(s.env.RESTConfig); err != nil {
		return fmt.Errorf("make the client of Weir's kinds: %w", err)
	}
	permissions, err := lookup.ReadPermissions(ctx, s.env.Client, s.env.Namespace)
	if err != nil {
		return err
	}
	if len(permissions.Missing) > 0 {
		s.env.Log.Info("some permissions of the base are missing; without the permission to watch pods and policies, "+
			"drain-cleaner does what Strimzi's Drain Cleaner does; permissions that are granted later take effect without "+
			"a restart, except for events", "missing", strings.Join(permissions.Missing, ", "))
	}
	if !permissions.Events {
		// The API server would reject every event, and each rejection would be logged.
		s.env.Events = discardEvents{}
	}
	kube, weir, err := reviewClients(s.env.RESTConfig)
	if err != nil {
		return err
	}
	s.lookup, err = lookup.New(lookup.Options{
		Kube: kube, Weir: weir, CacheKube: s.env.Client, CacheWeir: s.weir, Namespace: s.env.Namespace,
		PoliciesRequired: s.config.Policies == PoliciesRequired, Now: s.env.Now, Log: s.env.Log,
		PolicyChanged: func(policy cache.ObjectName) {
			if c := s.policies.Load(); c != nil {
				c.Enqueue(policy)
			}
		},
	})
	if err != nil {
		return err
	}
	s.caches = reconcile.NewCaches(s.env.Client, s.lookup, s.config.Namespace)
	s.claims = &claims.Claims{Leases: kube.CoordinationV1().Leases(s.config.Namespace), Cached: s.caches.Lease}
	return nil
}

// reviewClients returns clients without a client-side rate limit. The Priority and Fairness of the API server limits
// them. With a limit here, a burst of evictions of unrelated pods would delay reviews until they are denied.
func reviewClients(config *rest.Config) (kubernetes.Interface, versioned.Interface, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1
	weir, err := versioned.NewForConfig(config)
	if err != nil {
		return nil, nil, fmt.Errorf("make the client of Weir's kinds for reviews: %w", err)
	}
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, nil, fmt.Errorf("make the client for reviews: %w", err)
	}
	return kube, weir, nil
}

// discardEvents is an event recorder that records nothing.
type discardEvents struct{}

func (discardEvents) Eventf(runtime.Object, runtime.Object, string, string, string, string, ...any) {}

// runUntil runs first until it ends. The others run until then, even if ctx ends earlier.
func runUntil(ctx context.Context, first app.Runnable, others ...app.Runnable) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	failed := make(chan error, len(others))
	for _, other := range others {
		go func() { failed <- other(running) }()
	}
	err := first(ctx)
	stop()
	for range others {
		err = errors.Join(err, <-failed)
	}
	return err
}

// runLeaseCache fills the cache of claims once there can be policies.
func (s *service) runLeaseCache(ctx context.Context) error {
	if s.lookup.WaitForPolicies(ctx) {
		s.caches.Leases.RunWithContext(ctx)
	}
	return nil
}

// controllers returns the leader's controllers.
func (s *service) controllers(e *evaluate.Evaluator) ([]app.Runnable, error) {
	observer := reconcile.Observer{Caches: s.caches, Evaluator: e, Patience: s.config.Patience}
	policies := controller.New("policy", &reconcile.Policies{
		Observer: observer, Kube: s.env.Client, Weir: s.weir, Manager: decide.Manager, ProbeEvery: s.config.ProbeEvery,
	}, controller.Options{Log: s.env.Log, Metrics: s.env.Metrics, Workers: 2})
	held := controller.New("claim", &reconcile.Claims{
		Observer: observer, Claims: s.claims, Events: s.env.Events,
	}, controller.Options{Log: s.env.Log, Metrics: s.env.Metrics, Workers: 2, MaxBackoff: 5 * time.Second})
	policyInformer := s.lookup.PolicyInformer()
	err := errors.Join(
		controller.Watch(policies, policyInformer, controller.Self[*drainv1alpha1.KafkaDrainPolicy]),
		controller.WatchChanges(policies, policyInformer, s.caches.PoliciesOfOverlaps),
		controller.Watch(policies, s.caches.Leases, reconcile.PoliciesOfHolders),
		controller.Watch(held, s.caches.Leases, controller.Self[*coordinationv1.Lease]),
	)
	s.policies.Store(policies)
	return []app.Runnable{policies.Run, held.Run}, err
}
