// Package properties_test checks the properties that every controller of Weir has: the end state does not depend on
// perturbations or on the way that led to it.
package properties_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/apis/contract"
	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/perturb"
	"github.com/weir-dev/weir/pkg/testkit/snapshot"
	"github.com/weir-dev/weir/pkg/testkit/transition"

	draincleaner "github.com/weir-dev/weir/services/drain-cleaner/internal/app"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/claims"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka/kafkatest"
	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var (
	policiesResource = drainv1alpha1.SchemeGroupVersion.WithResource("kafkadrainpolicies")
	podsResource     = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	leasesResource   = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
)

// subject is a drain-cleaner for one namespace that also contains its Leases. Its certificate is a file.
func subject(t *testing.T) perturb.Subject {
	t.Helper()
	dir := t.TempDir()
	return subjectWith(dir, serving(t, dir))
}

// reviewing is a subject that the API server calls for evictions in its namespace.
func reviewing(t *testing.T) perturb.Subject {
	t.Helper()
	dir := t.TempDir()
	f := serving(t, dir)
	s := subjectWith(dir, f)
	s.Prepare, s.Cleanup = f.open, f.close
	return s
}

func subjectWith(certificates string, f *endpoints) perturb.Subject {
	return perturb.Subject{
		Service: func(ctx context.Context, connection *rest.Config, namespace string) error {
			c := draincleaner.FromEnv(func(string) string { return "" })
			c.WebhookAddress, c.Namespace, c.ShutdownDelay = "127.0.0.1:0", namespace, 0
			c.CertificateSource, c.CertificateDir = draincleaner.CertificateFiles, certificates
			c.Patience = decide.Patience{
				Lapse:              2 * time.Second,
				Settle:             10 * time.Millisecond,
				ReplacementTimeout: 2 * time.Second,
			}
			o := app.DefaultOptions()
			o.MetricsAddress, o.Namespace = "", namespace
			// Reviews are sent from the start. Readiness does not delay them.
			defer f.point(namespace)
			return app.Run(
				ctx,
				draincleaner.Spec(&c, func(a net.Addr) { f.point(namespace, a.String()) }),
				o,
				connection,
				slog.New(slog.DiscardHandler),
			)
		},
		Compare:   snapshot.Namespaced(policiesResource, podsResource, leasesResource),
		Normalize: []snapshot.Normalizer{snapshot.RemoveField("status", "drains"), withoutTimes, withoutScheduling},
		// Leases and events count: claims are Leases.
		Ignore:   []string{"subjectaccessreviews", "selfsubjectaccessreviews"},
		Deadline: time.Minute,
	}
}

// withoutTimes removes what depends on the time of a write.
func withoutTimes(o *unstructured.Unstructured) {
	annotations := o.GetAnnotations()
	delete(annotations, contract.AnnotationDrain)
	o.SetAnnotations(annotations)
}

// withoutScheduling removes what the scheduler and the StatefulSet controller write: node names differ.
func withoutScheduling(o *unstructured.Unstructured) {
	if o.GetKind() != "Pod" {
		return
	}
	unstructured.RemoveNestedField(o.Object, "status", "conditions")
	unstructured.RemoveNestedField(o.Object, "metadata", "labels", "controller-revision-hash")
}

func policyYAML(bootstrap string) string {
	return fmt.Sprintf(`apiVersion: drain.weir.dev/v1alpha1
kind: KafkaDrainPolicy
metadata: {name: kafka}
spec:
  podSelector: {matchLabels: {app: kafka}}
  mode: SelfCheck
  bootstrapServers: %q
  requireNodeCordoned: false
`, bootstrap)
}

const otherPodYAML = `apiVersion: v1
kind: Pod
metadata: {name: other-0, labels: {app: other}}
spec: {containers: [{name: other, image: other}], terminationGracePeriodSeconds: 0}
`

const podYAML = `apiVersion: v1
kind: Pod
metadata: {name: kafka-0, labels: {app: kafka}%s}
spec: {containers: [{name: kafka, image: kafka}], terminationGracePeriodSeconds: 0}
`

// The control plane has no other drain-cleaner, which would repair what the perturbed one does.
func TestEndStateIsIndependentOfPerturbations(t *testing.T) {
	t.Parallel()
	cp := testkit.New(t)
	objects, err := testenv.Base(t.Context(), cp)
	require.NoError(t, err)
	definitions := slices.DeleteFunc(
		objects,
		func(o *unstructured.Unstructured) bool { return o.GetKind() != "CustomResourceDefinition" },
	)
	_, err = cp.Apply(t.Context(), "", definitions...)
	require.NoError(t, err)
	t.Run("a perturbed release of a claim", func(t *testing.T) {
		t.Parallel()
		perturbedClaim(t, cp)
	})
	t.Run("a perturbed drain", func(t *testing.T) {
		t.Parallel()
		perturbedDrains(t, cp)
	})
	t.Run("a changed policy", func(t *testing.T) {
		t.Parallel()
		policyChanged(t, cp)
	})
}

// The claim of a replaced pod is released, the record of an ended drain is removed from its pod, and the status has no
// drain.
func perturbedClaim(t *testing.T, cp *testkit.ControlPlane) {
	t.Helper()
	fake := kafkatest.Start(t, testenv.Script("perturbed"))
	old := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	record := fmt.Sprintf(`, annotations: {weir.dev/drain: '{"since":%q,"last":%q,"attempts":3}'}`, old, old)
	perturb.Replay(t, cp, perturb.Scenario{
		Name: "claim and record", Subject: subject(t), PauseDuration: time.Second, Parallel: 2,
		Steps: []perturb.Step{
			perturb.Apply("the policy", policyYAML(fake.Bootstrap())),
			perturb.Apply("the replacement", fmt.Sprintf(podYAML, record)),
			{Name: "the claim", Run: func(ctx context.Context, env perturb.Env) error {
				c := claims.Claims{
					Leases: env.Client().CoordinationV1().Leases(env.Namespace),
					Cached: func(string) *coordinationv1.Lease { return nil },
				}
				_, claimed, err := c.Claim(
					ctx,
					claims.OfKafka("x", ""),
					"x",
					decide.Holder{
						Namespace: env.Namespace,
						Pod:       "kafka-0",
						UID:       "gone",
						BrokerID:  new(int32),
						Policy:    "kafka",
						Since:     time.Now(),
					},
					1,
				)
				if err == nil && !claimed {
					err = errors.New("another pod has the claim")
				}
				return err
			}},
		},
		Done: func(ctx context.Context, env perturb.Env) error {
			leases, err := env.Client().CoordinationV1().Leases(env.Namespace).List(ctx, metav1.ListOptions{})
			if err != nil {
				return err
			}
			if len(leases.Items) > 0 {
				return errors.New("the claim is not released")
			}
			pod, err := env.Client().CoreV1().Pods(env.Namespace).Get(ctx, "kafka-0", metav1.GetOptions{})
			if err != nil {
				return err
			}
			if _, noted := pod.Annotations[contract.AnnotationDrain]; noted || pod.Status.Phase != corev1.PodRunning {
				return errors.New("the record of the drain is not removed")
			}
			return statusIsIdle(ctx, env, 1)
		},
	})
}

func statusIsIdle(ctx context.Context, env perturb.Env, pods int) error {
	weir, err := versioned.NewForConfig(env.RESTConfig())
	if err != nil {
		return err
	}
	p, err := weir.DrainV1alpha1().KafkaDrainPolicies(env.Namespace).Get(ctx, "kafka", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if p.Status.Pods != int32(pods) || len(p.Status.Drains) > 0 {
		return fmt.Errorf("the status is not idle: %+v", p.Status)
	}
	return testenv.Condition(drainv1alpha1.ConditionDraining, metav1.ConditionFalse, "NoDrain")(p.Status)
}

// Each change of a policy ends in the same state as a new policy with the same spec.
func policyChanged(t *testing.T, cp *testkit.ControlPlane) {
	t.Helper()
	fake := kafkatest.Start(t, testenv.Script("changed"))
	ready := func(status string) func(*unstructured.Unstructured) error {
		return func(o *unstructured.Unstructured) error {
			conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
			observed, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
			for _, c := range conditions {
				if c := c.(map[string]any); c["type"] == drainv1alpha1.ConditionReady && c["status"] == status &&
					observed == o.GetGeneration() {
					return nil
				}
			}
			return fmt.Errorf("not Ready=%s", status)
		}
	}
	transition.Run(t, cp, transition.Plan{
		Subject: subject(t),
		Base:    fmt.Sprintf(podYAML, "") + "---\n" + otherPodYAML + "---\n" + policyYAML(fake.Bootstrap()),
		Done:    ready("True"), Reported: ready("False"), Parallel: 4,
	}, []transition.Change{
		{Name: "mode Delegate", Patch: "spec: {mode: Delegate}", Valid: true},
		{Name: "mode Observe", Patch: "spec: {mode: Observe}", Valid: true},
		{Name: "other pods", Patch: "spec: {podSelector: {matchLabels: {app: other}}}", Valid: true},
		{Name: "headroom", Patch: "spec: {minIsrHeadroom: 1}", Valid: true},
		{Name: "a deadline", Patch: "spec: {drainDeadline: 10m, onDeadline: Allow}", Valid: true},
		{Name: "local volumes", Patch: "spec: {localVolumePolicy: Deny}", Valid: true},
		{Name: "identity", Patch: "spec: {brokerId: {from: AdvertisedListener}}", Valid: true},
		{Name: "two concurrent drains", Patch: "spec: {maxConcurrent: 2}", Valid: true},
		{Name: "unreachable brokers", Patch: `spec: {bootstrapServers: "127.0.0.1:1"}`},
		{Name: "a missing Secret", Patch: "spec: {sasl: {mechanism: PLAIN, secret: missing}}"},
		{Name: "no brokers", Patch: "spec: {bootstrapServers: null}"},
		{Name: "no concurrent drain", Patch: "spec: {maxConcurrent: 0}"},
		{Name: "an unknown mode", Patch: "spec: {mode: Guess}"},
	})
}
