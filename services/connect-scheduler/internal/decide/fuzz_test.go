package decide_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

// FuzzConnector throws changes at a connector in any order, and holds decide to two properties: it never panics, and
// once the changes stop and the cluster has done its part, deciding again yields nothing.
func FuzzConnector(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, uint8(10))
	}
	f.Fuzz(func(t *testing.T, seed uint64, changes uint8) {
		random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // the same seed has to give the same changes
		s := decidetest.New(t, observed.State{Connector: wild(random), Worker: decidetest.Worker()})
		for range changes % 32 {
			change(random, s)
			s.Step()
			if random.IntN(2) == 0 {
				s.RunPods()
			}
		}
		s.State.Worker = decidetest.Worker()
		s.Settle()
	})
}

// wild is a connector with any of the options.
func wild(random *rand.Rand) *connectv1.KafkaConnector {
	c := decidetest.Large(1 + random.IntN(12))
	maybe := func() bool { return random.IntN(2) == 0 }
	if maybe() {
		c.Spec.MaxUnavailable = ptr.To(intstr.FromString(fmt.Sprintf("%d%%", 1+random.IntN(100))))
	}
	if maybe() {
		c.Spec.Task.ServiceSpec = &corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}
	}
	if maybe() {
		c.Spec.Storage = &connectv1.StorageSpec{Size: "1Gi", DeleteClaim: maybe(), SubPath: "$(POD_NAME)"}
		if maybe() {
			c.Spec.Storage.AccessMode = corev1.ReadWriteOnce
		}
	}
	if maybe() {
		c.Spec.Plugins = []connectv1.Plugin{{Name: "a", Image: "a:1"}, {Name: "b", URL: "https://example.com/b.zip"}}
	}
	return c
}

// change makes one change that users, kubelets or other clients make.
func change(random *rand.Rand, s *decidetest.Env) {
	c := s.State.Connector
	count := 1 + random.IntN(12)
	published := decidetest.Hashes(count)
	published[random.IntN(count)] = fmt.Sprintf("changed-%d", random.IntN(3))
	switch random.IntN(12) {
	case 0:
		states := []connectv1.ConnectorState{
			"", connectv1.StateRunning, connectv1.StatePaused, connectv1.StateStopped,
		}
		c.Spec.State = states[random.IntN(len(states))]
	case 1:
		c.Spec.Task.Image = fmt.Sprintf("image:%d", random.IntN(3))
	case 2:
		c.Spec.ConnectorConfig["topic"] = fmt.Sprint(random.IntN(3))
	case 3:
		c.Spec.TasksMax = ptr.To(int32(count)) //nolint:gosec // at most 12
	case 4, 5, 6:
		s.State.TaskConfigs = decidetest.Published(c, published...)
	case 7:
		if s.State.TaskConfigs != nil {
			s.State.TaskConfigs.Keys[contract.TaskConfigKey(random.IntN(12))] = observed.SecretValue{
				Problem: "is not valid JSON",
			}
		}
	case 8:
		s.State.Worker = []*observed.Secret{nil, {}, decidetest.Worker()}[random.IntN(3)]
	case 9:
		if len(s.Pods) > 0 {
			decidetest.Fail(
				s.Pods[random.IntN(len(s.Pods))],
				`{"reason":"TaskFailed","message":"boom"}`,
				int32(random.IntN(5)),
			) //nolint:gosec // small
		}
	case 10:
		c.Annotations = map[string]string{contract.RestartTask: fmt.Sprint(random.IntN(12)), contract.Restart: "true"}
	case 11:
		if c.Spec.Task.ServiceSpec == nil {
			c.Spec.Task.ServiceSpec = &corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}
		} else {
			c.Spec.Task.ServiceSpec = nil
		}
	}
}
