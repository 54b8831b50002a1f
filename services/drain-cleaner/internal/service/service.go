// Package service puts drain-cleaner together.
package service

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/cache"

	"github.com/weir-dev/weir/apis/contract"
	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/admission"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/pkg/health"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/claims"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/config"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/judge"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/lookup"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/notes"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/reconcile"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/webhook"
)

// Name of the service: of its binary, its field manager and its lease.
const Name = "drain-cleaner"

// strimziStart is what the pods of Strimzi's Drain Cleaner are told to run; it stands where an argument would.
const strimziStart = "/opt/strimzi/bin/drain_cleaner_run.sh"

const long = `drain-cleaner answers evictions of Kafka's pods, so that a drained node never takes a partition below its minimum of in-sync
replicas. Pods with Strimzi's labels are handed to Strimzi's operator, as by Strimzi's own Drain Cleaner and with the same environment
variables; what a KafkaDrainPolicy says comes first. kubectl drain goes on by itself, and prints what it waits for.`

// Command makes the root command.
func Command() *cobra.Command {
	c := config.FromEnv(os.Getenv)
	command := app.Command(Spec(&c, nil))
	command.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 || len(args) == 1 && args[0] == strimziStart {
			return nil
		}
		return fmt.Errorf("unknown argument %q: drain-cleaner is set by flags and environment variables", args[0])
	}
	return command
}

// Spec describes the service; listening is told where reviews are served, and may be nil.
func Spec(c *config.Config, listening func(net.Addr)) app.Spec {
	kinds := runtime.NewScheme()
	// Adding known kinds to a new scheme cannot fail.
	_ = scheme.AddToScheme(kinds)
	_ = drainv1alpha1.AddToScheme(kinds)
	return app.Spec{
		Name: Name, Short: "drains that no partition feels", Long: long, Scheme: kinds, Flags: c.AddFlags, Validate: c.Validate,
		Setup: func(ctx context.Context, env app.Env) (app.Components, error) {
			return (&service{config: c, env: env, listening: listening}).plan(ctx)
		},
	}
}

type service struct {
	config    *config.Config
	env       app.Env
	listening func(net.Addr)

	weir   *versioned.Clientset
	rights lookup.Rights
	lookup *lookup.Lookup
	leases cache.SharedIndexInformer
	keeper admission.CertStore
	claims *claims.Claims
	// policies reconciles; reviews may enqueue before it runs.
	policies atomic.Pointer[controller.Controller]
}

func (s *service) plan(ctx context.Context) (app.Components, error) {
	var err error
	if s.weir, err = versioned.NewForConfig(s.env.RESTConfig); err != nil {
		return app.Components{}, fmt.Errorf("make the client of Weir's kinds: %w", err)
	}
	if s.rights, err = lookup.AskRights(ctx, s.env.Client, s.env.Namespace); err != nil {
		return app.Components{}, err
	}
	if len(s.rights.Missing) > 0 {
		s.env.Log.Info("lacks rights of its own base; without those to pods and policies it does what Strimzi's Drain Cleaner does, and follows no policy",
			"missing", strings.Join(s.rights.Missing, ", "), "policies", s.rights.Policies && s.rights.Pods)
	}
	s.rights.Policies = s.rights.Policies && s.rights.Pods
	if !s.rights.Events {
		// The API server would refuse each of them, and each would be a line in the log.
		s.env.Events = silent{}
	}
	s.lookup, err = lookup.New(s.env.Client, s.weir, s.rights, s.env.Namespace, s.env.Now, func(policy cache.ObjectName) {
		if c := s.policies.Load(); c != nil {
			c.Enqueue(policy)
		}
	})
	if err != nil {
		return app.Components{}, err
	}
	s.leases = informers.NewSharedInformerFactoryWithOptions(s.env.Client, 0, informers.WithNamespace(s.config.Namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = contract.LabelComponent + "=" + claims.Component })).
		Coordination().V1().Leases().Informer()
	s.claims = &claims.Claims{Leases: s.env.Client.CoordinationV1().Leases(s.config.Namespace), Cached: s.lease}

	metrics := webhook.NewMetrics(s.env.Metrics, s.keeper.NotAfter)
	clusters := kafka.New(kafka.Options{Secrets: s.lookup, MaxAge: s.config.SnapshotAge, Now: s.env.Now, Log: s.env.Log, Observe: metrics.KafkaQueried})
	j := &judge.Judge{Settings: s.config.Settings, Sources: s.lookup, Kafka: clusters, Claims: s.claims, Now: s.env.Now, Log: s.env.Log}
	writer := notes.New(s.env.Client, Name, s.env.Now, s.env.Log, metrics.Rolled)

	plan := app.Components{
		ReadyChecks: map[string]health.Check{
			"caches":      s.lookup.Synced,
			"certificate": func(context.Context) error { return s.keeper.Ready(s.env.Now(), s.config.CertificateMargin) },
		},
		// The path of Strimzi's probes.
		ReadyPaths: []string{"/health"},
	}
	serve, err := s.server(webhook.New(j, writer, s.env.Events, metrics, s.env.Now, s.env.Log), metrics)
	if err != nil {
		return app.Components{}, err
	}
	certificate, issue, err := s.certificates()
	if err != nil {
		return app.Components{}, err
	}
	// What a review rests on goes on for as long as reviews are answered, which is longer than ctx.
	plan.Always = append(plan.Always, func(ctx context.Context) error {
		return outlast(ctx, serve, s.lookup.Run, clusters.Run, writer.Run, certificate, s.watchLeases)
	})
	plan.LeaderOnly = issue
	if !s.rights.Policies {
		return plan, nil
	}
	plan.ReadyChecks["claims"] = func(context.Context) error {
		if !s.leases.HasSynced() {
			return fmt.Errorf("the cache of claims is not filled yet; that takes the right to list and watch leases in namespace %s", s.config.Namespace)
		}
		return nil
	}
	reconciling, err := s.controllers(j)
	plan.LeaderOnly = append(plan.LeaderOnly, reconciling...)
	return plan, err
}

// silent records no events.
type silent struct{}

func (silent) Eventf(runtime.Object, runtime.Object, string, string, string, string, ...any) {}

// outlast runs first until it ends, and the others beside it until then.
func outlast(ctx context.Context, first app.Runnable, others ...app.Runnable) error {
	lasting, stop := context.WithCancel(context.WithoutCancel(ctx))
	failed := make(chan error, len(others))
	for _, other := range others {
		go func() { failed <- other(lasting) }()
	}
	err := first(ctx)
	stop()
	for range others {
		err = errors.Join(err, <-failed)
	}
	return err
}

func (s *service) lease(name string) *coordinationv1.Lease {
	object, found, err := s.leases.GetStore().GetByKey(s.config.Namespace + "/" + name)
	if err != nil || !found {
		return nil
	}
	lease, _ := object.(*coordinationv1.Lease)
	return lease
}

func (s *service) watchLeases(ctx context.Context) error {
	if s.rights.Policies {
		s.leases.RunWithContext(ctx)
	}
	return nil
}

func (s *service) server(w *webhook.Webhook, metrics *webhook.Metrics) (app.Runnable, error) {
	mux := http.NewServeMux()
	mux.Handle(webhook.Path, admission.Handler(admission.Options{
		Review: w.Review, Fallback: w.Fallback, MaxBodyBytes: maxBody, Deadline: s.config.ReviewDeadline, Log: s.env.Log, OnReject: metrics.Refused,
	}))
	server := &admission.Server{
		Address: s.config.WebhookAddress, Handler: mux, CertStore: &s.keeper, ShutdownDelay: s.config.Linger, Log: s.env.Log, OnListen: s.listening,
	}
	if s.config.ClientCAFile != "" {
		pem, err := os.ReadFile(s.config.ClientCAFile)
		pool := x509.NewCertPool()
		if err != nil || !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--client-ca-file=%q: holds no certificate in PEM: %w", s.config.ClientCAFile, err)
		}
		server.ClientCAs = func() *x509.CertPool { return pool }
	}
	return server.Run, nil
}

// maxBody is far more than a review of an Eviction takes.
const maxBody = 1 << 20

// certificates gives the task that keeps the serving certificate, and those of the leader that makes it.
func (s *service) certificates() (app.Runnable, []app.Runnable, error) {
	c := s.config
	secret := &admission.CertSecret{
		Client: s.env.Client, Namespace: c.SecretNamespace, Name: c.SecretName, CertKey: c.SecretCertKey, KeyKey: c.SecretKeyKey, CertStore: &s.keeper, Log: s.env.Log,
	}
	files := &admission.CertFiles{Cert: filepath.Join(c.CertificateDir, "tls.crt"), Key: filepath.Join(c.CertificateDir, "tls.key"), CertStore: &s.keeper, Log: s.env.Log}
	switch c.CertificateSource {
	case config.CertificateFiles:
		return files.Run, nil, nil
	case config.CertificateSecret:
		// Where the Secret is mounted too, there is a certificate before the API has answered.
		_, _ = files.Load()
		return secret.Run, nil, nil
	}
	issuer := &admission.Issuer{
		Client: s.env.Client, FieldManager: Name, Namespace: c.SecretNamespace, Secret: c.SecretName, WebhookConfiguration: c.WebhookConfiguration,
		Labels:   map[string]string{contract.LabelPartOf: contract.PartOf, contract.LabelName: Name, contract.LabelManagedBy: Name},
		DNSNames: c.Names(), Lifetimes: c.Lifetimes, Interval: c.IssueEvery, Now: s.env.Now, Log: s.env.Log,
	}
	return secret.Run, []app.Runnable{issuer.Run}, nil
}

// controllers are the reconcilers of the leader.
func (s *service) controllers(j *judge.Judge) ([]app.Runnable, error) {
	observer := reconcile.Observer{Sources: s.lookup, Judge: j, Leases: s.allLeases, Patience: s.config.Patience}
	policies := controller.New("policy", &reconcile.Policies{Observer: observer, Kube: s.env.Client, Weir: s.weir, Manager: Name, ProbeEvery: s.config.ProbeEvery},
		controller.Options{Log: s.env.Log, Metrics: s.env.Metrics, Workers: 2})
	held := controller.New("claim", &reconcile.Held{Observer: observer, Claims: s.claims, Events: s.env.Events, LivePolicy: s.livePolicy},
		controller.Options{Log: s.env.Log, Metrics: s.env.Metrics, Workers: 2, MaxBackoff: 5 * time.Second})
	err := errors.Join(
		controller.Watch(policies, s.lookup.PolicyInformer(), controller.Self[*drainv1alpha1.KafkaDrainPolicy]),
		controller.Watch(policies, s.lookup.PolicyInformer(), reconcile.SamePods(s.lookup), controller.StatusOnly),
		controller.Watch(policies, s.leases, reconcile.HolderPolicies),
		controller.Watch(held, s.leases, controller.Self[*coordinationv1.Lease]),
	)
	s.policies.Store(policies)
	return []app.Runnable{policies.Run, held.Run}, err
}

func (s *service) allLeases() []*coordinationv1.Lease {
	var all []*coordinationv1.Lease
	for _, object := range s.leases.GetStore().List() {
		if lease, ok := object.(*coordinationv1.Lease); ok {
			all = append(all, lease)
		}
	}
	return all
}

func (s *service) livePolicy(ctx context.Context, namespace, name string) (*drainv1alpha1.KafkaDrainPolicy, error) {
	policy, err := s.weir.DrainV1alpha1().KafkaDrainPolicies(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read policy %s/%s: %w", namespace, name, err)
	}
	return policy, nil
}
