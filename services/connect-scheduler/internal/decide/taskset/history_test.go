package taskset_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/taskset"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

// rollouts plays the tasks' StatefulSet.
type rollouts struct {
	state observed.State
	// last is the hash of the set that rolled out last, count the number of sets that rolled out.
	last  string
	count int
}

func newRollouts() *rollouts {
	c := decidetest.Large(4)
	return &rollouts{state: observed.State{Connector: c, Now: decidetest.Noon, Objects: observed.Objects{
		TaskSet: &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{}, OwnerReferences: []metav1.OwnerReference{
				{UID: c.UID, Controller: ptr.To(true), Name: c.Name, Kind: "KafkaConnector", APIVersion: "io.confluent.csid/v1"},
			}},
			Spec: appsv1.StatefulSetSpec{Replicas: ptr.To[int32](4)},
		},
	}}}
}

// decide applies the decision, and returns the time of the next one.
func (r *rollouts) decide(t *testing.T) time.Time {
	set := taskset.Read(r.state.Current(), spec.Of(r.state)).Damp(r.state.Now)
	require.Equal(t, metav1.ConditionTrue, set.Condition.Status)
	tasks := r.state.Objects.TaskSet
	tasks.Annotations[observed.AnnotationHistory] = set.History
	if hash := contract.TaskConfigsHash(set.Hashes); set.Delay == nil && hash != r.last {
		r.last, r.count = hash, r.count+1
	}
	if tasks.Spec.Template.Annotations == nil {
		tasks.Spec.Template.Annotations = map[string]string{}
	}
	tasks.Spec.Template.Annotations[contract.AnnotationTaskHashes] = strings.Join(set.Hashes, ",")
	if set.Delay == nil {
		return time.Time{}
	}
	return set.Delay.Until
}

// playUntil decides at each time that a decision asks for.
func (r *rollouts) playUntil(t *testing.T, at time.Time) {
	for next := r.decide(t); !next.IsZero() && next.Before(at); next = r.decide(t) {
		require.True(t, next.After(r.state.Now), "no decision asks for the same time again")
		r.state.Now = next
	}
	r.state.Now = at
}

func TestLastTaskConfigsAlwaysRollOutAndTheNumberOfRolloutsIsLimited(t *testing.T) {
	t.Parallel()
	runs := uint64(200)
	if testing.Short() {
		runs = 40
	}
	for run := range runs {
		random := rand.New(rand.NewPCG(run, 0)) //nolint:gosec // each run makes the same changes every time
		r := newRollouts()
		r.state.TaskConfigs = decidetest.Published(r.state.Connector, decidetest.Hashes(4)...)
		r.decide(t)
		begun, before := r.state.Now, r.count
		most := time.Duration(1+random.IntN(30)) * time.Second
		for i := range 300 {
			changed := decidetest.Hashes(4)
			changed[random.IntN(4)] = fmt.Sprint("change-", i)
			r.state.TaskConfigs = decidetest.Published(r.state.Connector, changed...)
			r.state.TaskConfigs.Annotations[contract.AnnotationExactlyOnce] = fmt.Sprint(run%2 == 0)
			r.playUntil(t, r.state.Now.Add(time.Duration(random.Int64N(int64(most)))))
		}
		// Changes roll out after 0, 10, 30, 70, 150 and 310 s, and then every 300 s.
		allowed := 6 + int(r.state.Now.Sub(begun)/(5*time.Minute))
		require.LessOrEqual(t, r.count-before, allowed, "run %d", run)
		r.playUntil(t, r.state.Now.Add(5*time.Minute))
		r.decide(t)
		require.Equal(t, r.state.TaskConfigs.Annotations[contract.AnnotationTaskConfigsHash], r.last, "run %d", run)
	}
}
