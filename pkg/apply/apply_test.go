package apply_test

import (
	"context"
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

func TestUpToDate(t *testing.T) {
	t.Parallel()
	want := func() *corev1ac.ConfigMapApplyConfiguration {
		return corev1ac.ConfigMap("a", "default").WithLabels(map[string]string{"x": "1"}).WithData(map[string]string{"k": "v", "l": "w"})
	}
	for name, test := range map[string]struct {
		next  *corev1ac.ConfigMapApplyConfiguration
		other *corev1ac.ConfigMapApplyConfiguration
		want  bool
	}{
		"holds for what was just applied":                  {next: want(), want: true},
		"fails when a value is to change":                  {next: want().WithData(map[string]string{"k": "other"})},
		"fails when a field is to be added":                {next: want().WithLabels(map[string]string{"y": "2"})},
		"fails when a field is to be removed":              {next: corev1ac.ConfigMap("a", "default").WithData(map[string]string{"k": "v", "l": "w"})},
		"holds when somebody adds a field of their own":    {next: want(), other: corev1ac.ConfigMap("a", "default").WithData(map[string]string{"mine": "1"}), want: true},
		"fails when somebody takes one of our fields over": {next: want(), other: corev1ac.ConfigMap("a", "default").WithData(map[string]string{"k": "theirs"})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, maps := context.Background(), fake.NewClientset().CoreV1().ConfigMaps("default")
			live, err := apply.Object(ctx, maps, manager, want())
			require.NoError(t, err)
			if test.other != nil {
				live, err = apply.Object(ctx, maps, "somebody", test.other)
				require.NoError(t, err)
			}
			upToDate, err := apply.UpToDate(live, test.next, manager, corev1ac.ExtractConfigMap)
			require.NoError(t, err)
			require.Equal(t, test.want, upToDate)
		})
	}
}

func TestDeleteSparesAnObjectThatTookTheName(t *testing.T) {
	t.Parallel()
	ctx, maps := context.Background(), fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "default", UID: "new"}}).CoreV1().ConfigMaps("default")
	recorder := &recorder{}
	require.NoError(t, apply.Delete(apply.WithObserver(ctx, recorder), maps, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "new"}}))
	require.Equal(t, []string{"deleted a"}, recorder.seen)
	err := apply.Delete(apply.WithObserver(ctx, recorder), maps, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "new"}})
	require.True(t, apierrors.IsNotFound(err))
	require.Len(t, recorder.seen, 1, "a delete that failed is not told")
}

func TestObserverIsToldOfWrites(t *testing.T) {
	t.Parallel()
	recorder := &recorder{}
	ctx := apply.WithObserver(context.Background(), recorder)
	_, err := apply.Object(ctx, fake.NewClientset().CoreV1().ConfigMaps("default"), manager, corev1ac.ConfigMap("a", "default"))
	require.NoError(t, err)
	require.Equal(t, []string{"wrote a"}, recorder.seen)
}

func TestConvertKeepsWhatTheUserWrote(t *testing.T) {
	t.Parallel()
	converted, err := apply.Convert[corev1ac.ResourceRequirementsApplyConfiguration](corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512M")}})
	require.NoError(t, err)
	require.Equal(t, "512M", ptrTo((*converted.Requests)[corev1.ResourceMemory]).String())
	require.Nil(t, converted.Limits)
}

func ptrTo[T any](v T) *T { return &v }

type recorder struct{ seen []string }

func (r *recorder) Wrote(o metav1.Object)   { r.seen = append(r.seen, "wrote "+o.GetName()) }
func (r *recorder) Deleted(o metav1.Object) { r.seen = append(r.seen, "deleted "+o.GetName()) }
