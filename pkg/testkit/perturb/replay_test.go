package perturb_test

import (
	"context"
	"errors"
	"fmt"
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
)

func TestMain(m *testing.M) { testkit.Main(m) }

const source = `
apiVersion: v1
kind: ConfigMap
metadata: {name: %s, labels: {toy: source}}
data: {value: %s}
`

// scenario makes two sources, changes one and deletes the other.
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
			perturb.Apply("make two", fmt.Sprintf(source, "one", "alpha")+"---"+fmt.Sprintf(source, "two", "beta")),
			{Name: "wait for something made of each", Run: func(ctx context.Context, env perturb.Env) error {
				return testkit.Poll(ctx, "something made of each", func(ctx context.Context) error {
					maps, err := env.Client().CoreV1().ConfigMaps(env.Namespace).List(ctx, metav1.ListOptions{})
					if err == nil && len(maps.Items) < 5 {
						err = fmt.Errorf("there are only %d config maps", len(maps.Items))
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
				return fmt.Errorf("the other is still there: %w", err)
			}
			return nil
		},
	}
}

func TestARightControllerEndsInTheSameObjectsWhateverHappens(t *testing.T) {
	t.Parallel()
	report := perturb.Replay(t, testkit.Shared(t), scenario(sample.NoFault))
	require.NotEmpty(t, report.Writes)
	for _, kind := range []perturb.Kind{perturb.Intermediate, perturb.Stale, perturb.Unobserved} {
		require.NotZero(t, report.Runs[kind], kind)
	}
}

func TestFindsTheFaultsOfWrongControllers(t *testing.T) {
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
			require.NoError(t, err, "undisturbed it works")
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
			require.NotZero(t, found[kind], "the harness finds it by an %s state", kind)
		})
	}
}

func TestRefusesAControllerThatNeverRests(t *testing.T) {
	t.Parallel()
	s := scenario(sample.NeverStable)
	s.Deadline = 3 * time.Second
	_, err := perturb.Run(t.Context(), testkit.Shared(t), s, perturb.Sample)
	require.ErrorContains(t, err, "undisturbed")
}

func TestRefusesAServiceThatEndsOnItsOwn(t *testing.T) {
	t.Parallel()
	s := scenario(sample.NoFault)
	s.Service = failing
	_, err := perturb.Run(t.Context(), testkit.Shared(t), s, perturb.Sample)
	require.ErrorContains(t, err, "out of order")
}

func failing(context.Context, *rest.Config, string) error { return errors.New("out of order") }
