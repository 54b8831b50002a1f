package transition_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/internal/sample"
	"github.com/weir-dev/weir/pkg/testkit/snapshot"
	"github.com/weir-dev/weir/pkg/testkit/transition"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func plan(fault sample.Fault) transition.Plan {
	return transition.Plan{
		Subject: transition.Subject{
			Service:     sample.Service(fault),
			Compare:     snapshot.Namespaced(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}),
			QuietPeriod: 300 * time.Millisecond,
			Deadline:    5 * time.Second,
		},
		Base: `
apiVersion: v1
kind: ConfigMap
metadata: {name: one, labels: {sample: source}}
data: {value: alpha}
`,
		Done: func(o *unstructured.Unstructured) error {
			if fault := o.GetAnnotations()["fault"]; fault != "" {
				return errors.New(fault)
			}
			return nil
		},
		Reported: func(o *unstructured.Unstructured) error {
			if o.GetAnnotations()["fault"] == "" {
				return errors.New("annotation fault is missing")
			}
			return nil
		},
	}
}

var changes = []transition.Change{
	{Name: "another value", Patch: `data: {value: gamma delta}`, Valid: true},
	{Name: "no value", Patch: `data: {value: null}`, Valid: true},
	{Name: "uppercase", Patch: `data: {uppercase: "yes"}`, Valid: true},
	{Name: "invalid uppercase", Patch: `data: {uppercase: half}`},
	{Name: "a key with a space", Patch: `data: {"a b": x}`},
}

func TestCorrectControllerUndoesThePreviousSpec(t *testing.T) {
	t.Parallel()
	transition.Run(t, testkit.Shared(t), plan(sample.NoFault), changes)
}

func TestFaultsOfControllersAreFound(t *testing.T) {
	t.Parallel()
	for fault, want := range map[sample.Fault]struct{ change, message string }{
		sample.NeverUndoes:    {"uppercase", "the state differs from the original after the revert"},
		sample.SwallowsErrors: {"invalid uppercase", "neither rejected nor reported"},
		sample.LosesWork:      {"another value", "the state differs from that of a new object"},
	} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			failures, err := transition.Try(t.Context(), testkit.Shared(t), plan(fault), changes)
			require.NoError(t, err, "the base object works")
			joined := errors.Join(failures...)
			t.Log(joined)
			require.ErrorContains(t, joined, `change "`+want.change+`": `+want.message)
		})
	}
}

func TestValidChangeDeclaredInvalidFails(t *testing.T) {
	t.Parallel()
	wrong := []transition.Change{{Name: "another value", Patch: `data: {value: beta}`}}
	failures, err := transition.Try(t.Context(), testkit.Shared(t), plan(sample.NoFault), wrong)
	require.NoError(t, err)
	require.ErrorContains(t, errors.Join(failures...), "neither rejected nor reported")
}
