package perturb_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/internal/sample"
	"github.com/weir-dev/weir/pkg/testkit/perturb"
	"github.com/weir-dev/weir/pkg/testkit/snapshot"
	"github.com/weir-dev/weir/pkg/testkit/transport"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const source = `
apiVersion: v1
kind: ConfigMap
metadata: {name: %s, labels: {sample: source}}
data: {value: %s}
`

// scenario creates two sources, changes one and deletes the other.
func scenario(fault sample.Fault) perturb.Scenario {
	return perturb.Scenario{
		Name: "copies follow their sources",
		Subject: perturb.Subject{
			Service:     sample.Service(fault),
			Compare:     snapshot.Namespaced(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}),
			QuietPeriod: 300 * time.Millisecond,
			Deadline:    10 * time.Second,
		},
		Steps: []perturb.Step{
			perturb.Apply("create two", fmt.Sprintf(source, "one", "alpha")+"---"+fmt.Sprintf(source, "two", "beta")),
			{Name: "wait for the copies", Run: func(ctx context.Context, env perturb.Env) error {
				return testkit.Poll(ctx, "the copies", func(ctx context.Context) error {
					maps, err := env.Client().CoreV1().ConfigMaps(env.Namespace).List(ctx, metav1.ListOptions{})
					if err == nil && len(maps.Items) < 5 {
						err = fmt.Errorf("%d ConfigMaps exist", len(maps.Items))
					}
					return err
				})
			}},
			perturb.Apply("change one", fmt.Sprintf(source, "one", "gamma delta")),
			{Name: "delete the other", Run: func(ctx context.Context, env perturb.Env) error {
				return env.Client().CoreV1().ConfigMaps(env.Namespace).Delete(ctx, "two", metav1.DeleteOptions{})
			}},
		},
		Done: func(ctx context.Context, env perturb.Env) error {
			_, err := env.Client().CoreV1().ConfigMaps(env.Namespace).Get(ctx, "two", metav1.GetOptions{})
			if !apierrors.IsNotFound(err) {
				return fmt.Errorf("the other source still exists: %w", err)
			}
			return nil
		},
	}
}

func TestCorrectControllerHasTheSameFinalObjects(t *testing.T) {
	t.Parallel()
	report := perturb.Replay(t, testkit.Shared(t), scenario(sample.NoFault))
	require.NotEmpty(t, report.Writes)
	for _, kind := range []perturb.Kind{perturb.Intermediate, perturb.Stale, perturb.Unobserved} {
		require.NotZero(t, report.Runs[kind], kind)
	}
}

func TestFaultsOfControllersAreFound(t *testing.T) {
	t.Parallel()
	for fault, kind := range map[sample.Fault]perturb.Kind{
		sample.LosesWork:   perturb.Intermediate,
		sample.TrustsCache: perturb.Stale,
		sample.NeedsEvents: perturb.Unobserved,
	} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			s := scenario(fault)
			s.Deadline = 4 * time.Second
			report, err := perturb.Run(t.Context(), testkit.Shared(t), s, perturb.Sample)
			require.NoError(t, err, "the scenario works unperturbed")
			found := map[perturb.Kind]int{}
			for _, f := range report.Failures {
				found[f.Kind]++
			}
			t.Log(report, found)
			for _, f := range report.Failures {
				if f.Kind == kind {
					t.Log(f)
				}
			}
			require.NotZero(t, found[kind], "the harness finds it with an %s state", kind)
		})
	}
}

func TestControllerThatKeepsWritingIsRejected(t *testing.T) {
	t.Parallel()
	s := scenario(sample.NeverStable)
	s.Deadline = 3 * time.Second
	_, err := perturb.Run(t.Context(), testkit.Shared(t), s, perturb.Sample)
	require.ErrorContains(t, err, "unperturbed")
}

func TestServiceThatReturnsIsRejected(t *testing.T) {
	t.Parallel()
	s := scenario(sample.NoFault)
	s.Service = failing
	_, err := perturb.Run(t.Context(), testkit.Shared(t), s, perturb.Sample)
	require.ErrorContains(t, err, "broken")
}

func failing(context.Context, *rest.Config, string) error { return errors.New("broken") }

// twoProcesses is the scenario with a service of two processes, each with its own ServiceAccount.
func twoProcesses(fault sample.Fault) perturb.Scenario {
	s := scenario(fault)
	s.Service = nil
	s.Prepare = func(ctx context.Context, env perturb.Env) error {
		_, err := env.ApplyYAML(ctx, env.Namespace, serviceAccounts)
		return err
	}
	for _, name := range []string{"copier", "indexer"} {
		suffix := map[string]string{"copier": "-copy", "indexer": "-index"}[name]
		s.Processes = append(s.Processes, perturb.Process{
			Name: name,
			Identity: func(ctx context.Context, env perturb.Env) (*rest.Config, error) {
				return env.ServiceAccount(ctx, env.Namespace, name)
			},
			Run: sample.Service(fault, suffix),
		})
	}
	return s
}

const serviceAccounts = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: copier}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: indexer}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: sample}
rules:
- {apiGroups: [""], resources: [configmaps], verbs: [get, list, watch, create, patch, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: sample}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: sample}
subjects:
- {kind: ServiceAccount, name: copier}
- {kind: ServiceAccount, name: indexer}
`

func TestProcessesOfAServiceAreKilledSeparately(t *testing.T) {
	t.Parallel()
	report, err := perturb.Run(t.Context(), testkit.Shared(t), twoProcesses(sample.NoFault), perturb.Sample)
	require.NoError(t, err)
	require.Empty(t, report.Failures)
	t.Log(report)
	require.True(t, slices.ContainsFunc(report.Writes, func(w transport.Write) bool { return w.Name == "one-index" }))
	// Kills of both processes: each writes two ConfigMaps, one of them twice, and deletes one.
	require.GreaterOrEqual(t, report.Runs[perturb.Intermediate], 8)
}

func TestFailureNamesThePerturbedProcess(t *testing.T) {
	t.Parallel()
	s := twoProcesses(sample.NeedsEvents)
	s.Deadline = 4 * time.Second
	report, err := perturb.Run(t.Context(), testkit.Shared(t), s, perturb.Sample)
	require.NoError(t, err)
	require.NotEmpty(t, report.Failures)
	for _, f := range report.Failures {
		require.Regexp(t, "^process (copier|indexer): ", f.Perturbation)
	}
}

func TestProcessMayDoOnlyWhatItsServiceAccountMay(t *testing.T) {
	t.Parallel()
	s := twoProcesses(sample.NoFault)
	prepare := s.Prepare
	s.Prepare = func(ctx context.Context, env perturb.Env) error {
		if err := prepare(ctx, env); err != nil {
			return err
		}
		_, err := env.Kubectl(ctx, "patch", "rolebinding", "sample", "-n", env.Namespace, "--type=json",
			"-p", `[{"op": "remove", "path": "/subjects/1"}]`)
		return err
	}
	report, err := perturb.Run(t.Context(), testkit.Shared(t), s, perturb.Sample)
	require.NoError(t, err)
	require.NotEmpty(t, report.Writes)
	for _, w := range report.Writes {
		require.NotContains(t, w.Name, "-index", "the indexer has no rights")
	}
}
