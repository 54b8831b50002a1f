package broker_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/evaluate"
	look "github.com/weir-dev/weir/services/drain-cleaner/internal/kafka"
)

// firstController is the node id of the pod with the number 0.
const firstController = 100

// Three KRaft controllers of their own and a broker: a controller may go while the others have all caught up, and no other one may go
// while one is behind or gone.
func TestKeepsTheMajorityOfControllers(t *testing.T) {
	t.Parallel()
	dir, jars := t.TempDir(), jars(t)
	var ports [3]int
	var voters []string
	for i := range ports {
		ports[i] = freePort(t)
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", firstController+i, ports[i]))
	}
	common := fmt.Sprintf("controller.quorum.voters=%s\ncontroller.listener.names=CONTROLLER\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n", strings.Join(voters, ","))
	var controllers [3]*node
	for i := range controllers {
		controllers[i] = newNode(t, jars, dir, fmt.Sprintf("controller-%d", i),
			fmt.Sprintf("process.roles=controller\nnode.id=%d\nlisteners=CONTROLLER://127.0.0.1:%d\n%s", firstController+i, ports[i], common))
		controllers[i].start()
	}
	port := freePort(t)
	broker := newNode(t, jars, dir, "broker", fmt.Sprintf("process.roles=broker\nnode.id=0\nlisteners=PLAINTEXT://127.0.0.1:%d\n%s", port, common))
	broker.start()
	listening(t, port)

	policy := &drainv1alpha1.KafkaDrainPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "kafka", Name: "p", UID: "p", Generation: 1}}
	policy.Spec = drainv1alpha1.KafkaDrainPolicySpec{Role: drainv1alpha1.RoleController, Mode: drainv1alpha1.ModeSelfCheck, MaxConcurrent: 1,
		BootstrapServers: fmt.Sprintf("127.0.0.1:%d", port), BrokerID: &drainv1alpha1.BrokerID{From: drainv1alpha1.BrokerIDOrdinal, Offset: new(int32(firstController))}}
	world := &pods{policy: policy}
	clusters := look.New(look.Options{Secrets: world, MaxAge: 100 * time.Millisecond, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- clusters.Run(ctx) }()
	t.Cleanup(func() { cancel(); assert.NoError(t, <-done) })
	j := &evaluate.Evaluator{Sources: world, Kafka: clusters, Claims: noClaims{}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	// may waits until just these controllers may go, and gives the reasons that keep the others.
	may := func(what string, wanted ...bool) (reasons [3]decide.Reason) {
		testkit.Eventually(t, 90*time.Second, func(ctx context.Context) error {
			for i, want := range wanted {
				v := j.Evict(ctx, decide.Request{Eviction: true, Namespace: "kafka", Name: fmt.Sprintf("kafka-%d", i), DryRun: true})
				if reasons[i] = v.Reason; v.Allow != want {
					return fmt.Errorf("controller %d: %s: %s", i, v.Reason, v.Message)
				}
			}
			return nil
		})
		t.Logf("%s: %v", what, reasons)
		return reasons
	}
	may("all have caught up", true, true, true)
	cluster, fault := clusters.Query(t.Context(), policy, time.Now())
	require.NotNil(t, cluster, fault.Message)
	leader := int(cluster.Quorum.Leader) - firstController
	follower := (leader + 1) % 3
	only := func(i int) []bool {
		able := make([]bool, 3)
		able[i] = true
		return able
	}

	controllers[follower].signal(syscall.SIGSTOP)
	reasons := may("a follower is behind", only(follower)...)
	require.Equal(t, decide.QuorumAtRisk, reasons[leader])
	controllers[follower].signal(syscall.SIGCONT)
	may("it has caught up", true, true, true)

	controllers[leader].stop(syscall.SIGTERM)
	reasons = may("the leader is gone, and there is another one", only(leader)...)
	require.Equal(t, decide.QuorumAtRisk, reasons[follower])
	controllers[leader].start()
	may("it is back", true, true, true)
}

// noClaims are held.
type noClaims struct{ evaluate.Claims }

func (noClaims) Holders(string) []decide.Holder { return nil }
