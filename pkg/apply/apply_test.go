package apply_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/weir-dev/weir/pkg/apply"
)

const manager = "weir-test"

func other(data map[string]string) *corev1ac.ConfigMapApplyConfiguration {
	return corev1ac.ConfigMap("a", "default").WithData(data)
}

func TestUpToDate(t *testing.T) {
	t.Parallel()
	want := func() *corev1ac.ConfigMapApplyConfiguration {
		return corev1ac.ConfigMap("a", "default").
			WithLabels(map[string]string{"x": "1"}).
			WithData(map[string]string{"k": "v", "l": "w"})
	}
	for name, test := range map[string]struct {
		next  *corev1ac.ConfigMapApplyConfiguration
		other *corev1ac.ConfigMapApplyConfiguration
		want  bool
	}{
		"true after an apply":         {next: want(), want: true},
		"false if a value changes":    {next: want().WithData(map[string]string{"k": "other"})},
		"false if a field is added":   {next: want().WithLabels(map[string]string{"y": "2"})},
		"false if a field is removed": {next: other(map[string]string{"k": "v", "l": "w"})},
		"true if another manager adds a field": {
			next: want(), other: other(map[string]string{"mine": "1"}), want: true,
		},
		"false if another manager takes over a field": {
			next: want(), other: other(map[string]string{"k": "theirs"}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, maps := context.Background(), fake.NewClientset().CoreV1().ConfigMaps("default")
			live, err := apply.Object(ctx, maps, manager, want())
			require.NoError(t, err)
			if test.other != nil {
				live, err = apply.Object(ctx, maps, "other-manager", test.other)
				require.NoError(t, err)
			}
			upToDate, err := apply.UpToDate(live, test.next, manager, corev1ac.ExtractConfigMap)
			require.NoError(t, err)
			require.Equal(t, test.want, upToDate)
		})
	}
}

func TestDeleteFailsForAnObjectThatIsGone(t *testing.T) {
	t.Parallel()
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "default", UID: "u"}}
	recorder := &recorder{}
	ctx := apply.WithObserver(context.Background(), recorder)
	maps := fake.NewClientset(object).CoreV1().ConfigMaps("default")
	require.NoError(t, apply.Delete(ctx, maps, object))
	require.Equal(t, []string{"deleted a"}, recorder.seen)
	err := apply.Delete(ctx, maps, object)
	require.True(t, apierrors.IsNotFound(err))
	require.Len(t, recorder.seen, 1, "the observer is not notified of a failed delete")
}

func TestObserverIsNotifiedOfWrites(t *testing.T) {
	t.Parallel()
	recorder := &recorder{}
	ctx := apply.WithObserver(context.Background(), recorder)
	_, err := apply.Object(
		ctx,
		fake.NewClientset().CoreV1().ConfigMaps("default"),
		manager,
		corev1ac.ConfigMap("a", "default"),
	)
	require.NoError(t, err)
	require.Equal(t, []string{"wrote a"}, recorder.seen)
}

func TestConvertKeepsTheFormatOfQuantities(t *testing.T) {
	t.Parallel()
	converted, err := apply.Convert[corev1ac.ResourceRequirementsApplyConfiguration](corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512M")}})
	require.NoError(t, err)
	require.Equal(t, "512M", ptrTo((*converted.Requests)[corev1.ResourceMemory]).String())
	require.Nil(t, converted.Limits)
}

func TestReplacementRemovesFieldsThatAreNotSetAnyMore(t *testing.T) {
	t.Parallel()
	type pod struct {
		State string `json:"state"`
		Node  string `json:"node,omitempty"`
	}
	type status struct {
		Ready string   `json:"ready,omitempty"`
		Count int      `json:"count,omitempty"`
		List  []string `json:"list,omitempty"`
		Pod   *pod     `json:"pod,omitempty"`
	}
	for name, test := range map[string]struct {
		before, after status
		want          string
	}{
		"values and lists": {
			status{Ready: "1/2", Count: 1}, status{Ready: "2/2", List: []string{"a"}},
			`{"ready": "2/2", "count": null, "list": ["a"]}`,
		},
		"a field of an object": {
			status{Pod: &pod{"Running", "a"}}, status{Pod: &pod{State: "Pending"}},
			`{"pod": {"state": "Pending", "node": null}}`,
		},
		"an object":     {status{Pod: &pod{State: "Running"}}, status{}, `{"pod": null}`},
		"a new object":  {status{}, status{Pod: &pod{"Running", "a"}}, `{"pod": {"state": "Running", "node": "a"}}`},
		"no difference": {status{}, status{}, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patch, err := apply.Replacement(test.before, test.after)
			require.NoError(t, err)
			data, err := json.Marshal(patch)
			require.NoError(t, err)
			require.JSONEq(t, test.want, string(data))
		})
	}
	_, err := apply.Replacement(status{}, []string{"not an object"})
	require.ErrorContains(t, err, "decode []string")
}

func ptrTo[T any](v T) *T { return &v }

type recorder struct{ seen []string }

func (r *recorder) Wrote(o metav1.Object)   { r.seen = append(r.seen, "wrote "+o.GetName()) }
func (r *recorder) Deleted(o metav1.Object) { r.seen = append(r.seen, "deleted "+o.GetName()) }
