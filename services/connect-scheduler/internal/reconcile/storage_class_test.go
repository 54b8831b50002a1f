package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// probed is a client whose resources a Starter probes at a server.
type probed struct {
	*fake.Clientset
	server discovery.DiscoveryInterface
}

func (p probed) Discovery() discovery.DiscoveryInterface { return p.server }

// cachesOfStorage returns caches with the objects. The server answers each probe with the status code.
func cachesOfStorage(t *testing.T, code int, objects ...runtime.Object) *storageCaches {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		status := metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Code: int32(code)}
		if code == http.StatusForbidden {
			status.Status, status.Reason = metav1.StatusFailure, metav1.StatusReasonForbidden
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(status)
	}))
	t.Cleanup(server.Close)
	client, err := discovery.NewDiscoveryClientForConfig(&rest.Config{Host: server.URL})
	require.NoError(t, err)
	c := newStorageCaches(probed{fake.NewClientset(objects...), client}, slog.New(slog.DiscardHandler))
	require.NoError(t, c.addIndexers())
	return c
}

// start runs the caches until the test ends, and waits until both are synced or could not be read.
func (c *storageCaches) startForTest(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.starter.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	testkit.Eventually(t, time.Minute, func(context.Context) error {
		for _, err := range []error{c.classes.Err(), c.volumes.Err()} {
			if err != nil && errors.Unwrap(err) == nil {
				return err
			}
		}
		return nil
	})
}

// volumeOfClass returns a volume that is available, or that has the claim data-test-connect of a namespace.
func volumeOfClass(class, claimNamespace string) *corev1.PersistentVolume {
	v := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pv"}, Spec: corev1.PersistentVolumeSpec{StorageClassName: class},
	}
	if claimNamespace != "" {
		v.Spec.ClaimRef = &corev1.ObjectReference{Namespace: claimNamespace, Name: "data-test-connect"}
	}
	return v
}

func TestStorageClassIsMissingOnlyIfNoVolumeOfItCanBeUsed(t *testing.T) {
	t.Parallel()
	fast := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "fast"}}
	for name, test := range map[string]struct {
		class   string
		code    int
		objects []runtime.Object
		want    observed.ClassState
	}{
		"the class exists":         {class: "fast", objects: []runtime.Object{fast}, want: observed.ClassFound},
		"the class does not exist": {class: "slow", objects: []runtime.Object{fast}, want: observed.ClassMissing},
		"the class does not exist and a volume of it is available": {
			class: "slow", objects: []runtime.Object{volumeOfClass("slow", "")}, want: observed.ClassFound,
		},
		"the class does not exist and a volume of it is reserved for the claim": {
			class: "slow", want: observed.ClassFound,
			objects: []runtime.Object{volumeOfClass("slow", "ns")},
		},
		"the class does not exist and its volume has another claim": {
			class: "slow", want: observed.ClassMissing,
			objects: []runtime.Object{volumeOfClass("slow", "other")},
		},
		"the class does not exist and a volume of another class is available": {
			class: "slow", objects: []runtime.Object{volumeOfClass("fast", "")}, want: observed.ClassMissing,
		},
		"the service may not read classes": {class: "slow", code: http.StatusForbidden, want: observed.ClassUnknown},
		"the default class":                {want: observed.ClassUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.code == 0 {
				test.code = http.StatusOK
			}
			c := cachesOfStorage(t, test.code, test.objects...)
			volume := &spec.Volume{
				StorageSpec: &connectv1.StorageSpec{Class: test.class, Size: "1Gi"},
				Owner:       observed.Owner{Kind: "KafkaConnector", Namespace: "ns", Name: "test"},
			}
			if test.class != "" {
				_, err := c.observe(volume, nil)
				require.ErrorContains(t, err, "is not synced", "before the start nothing is known")
			}
			c.startForTest(t)
			state, err := c.observe(volume, nil)
			require.NoError(t, err)
			require.Equal(t, test.want, state)
		})
	}
}
