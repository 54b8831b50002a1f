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
metadata: {name: one, labels: {toy: source}}
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
				return errors.New("there is no annotation fault")
			}
			return nil
		},
	}
}

var changes = []transition.Change{
	{Name: "another value", Patch: `data: {value: gamma delta}`, Valid: true},
	{Name: "no value", Patch: `data: {value: null}`, Valid: true},
	{Name: "shouting", Patch: `data: {shout: "yes"}`, Valid: true},
	{Name: "shouting by half", Patch: `data: {shout: half}`},
	{Name: "a key with a space", Patch: `data: {"a b": x}`},
}

func TestARightControllerUndoesWhatItDidForEarlierSpecs(t *testing.T) {
	t.Parallel()
	transition.Run(t, testkit.Shared(t), plan(sample.NoFault), changes)
}

func TestFindsTheFaultsOfWrongControllers(t *testing.T) {
	t.Parallel()
	for fault, want := range map[sample.Fault]struct{ change, message string }{
		sample.NeverUndoes:    {"shouting", "the state is not what it was, after taking it back"},
		sample.SwallowsErrors: {"shouting by half", "is neither refused nor reported"},
		sample.LosesWork:      {"another value", "the state is not that of an object made with it"},
	} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			failures, err := transition.Try(t.Context(), testkit.Shared(t), plan(fault), changes)
			require.NoError(t, err, "the base works")
			joined := errors.Join(failures...)
			t.Log(joined)
			require.ErrorContains(t, joined, `change "`+want.change+`": `+want.message)
		})
	}
}

func TestHoldsAChangeThatIsWronglyCalledInvalidAgainstThePlan(t *testing.T) {
	t.Parallel()
	wrong := []transition.Change{{Name: "another value", Patch: `data: {value: beta}`}}
	failures, err := transition.Try(t.Context(), testkit.Shared(t), plan(sample.NoFault), wrong)
	require.NoError(t, err)
	require.ErrorContains(t, errors.Join(failures...), "is neither refused nor reported")
}
