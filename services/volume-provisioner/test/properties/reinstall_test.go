package properties

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/pkg/testkit/perturb"
	"github.com/weir-dev/weir/pkg/testkit/transport"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decidetest"
	"github.com/weir-dev/weir/services/volume-provisioner/test/testenv"
)

// cycles returns how often the claims are deleted and created again: 3, or the number in WEIR_REINSTALL_CYCLES.
func cycles(t *testing.T) int {
	t.Helper()
	text := os.Getenv("WEIR_REINSTALL_CYCLES")
	if text == "" {
		return 3
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// killed runs a process and kills it at random times until the test ends. It returns the number of kills.
func killed(
	t *testing.T, seed uint64, account *rest.Config, run func(context.Context, *rest.Config) error,
) (kills func() int) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	random := rand.New(rand.NewPCG(seed, 0))
	var mu sync.Mutex
	var running sync.WaitGroup
	n := 0
	running.Go(func() {
		for ctx.Err() == nil {
			config, requests := transport.Wrap(account)
			process, kill := context.WithCancel(ctx)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = run(process, config)
			}()
			timer := time.NewTimer(time.Duration(500+random.IntN(2500)) * time.Millisecond)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
			timer.Stop()
			requests.Kill()
			kill()
			<-ended
			mu.Lock()
			n++
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

func TestReinstallationsWhileControllerAndAgentAreKilledFindTheirDirectories(t *testing.T) {
	cp := controlPlane(t)
	e := testenv.At(t, cp, cp.Namespace(t))
	env := perturb.Env{ControlPlane: cp, Namespace: e.Namespace}
	require.NoError(t, addNode(t.Context(), env))
	t.Cleanup(func() { require.NoError(t, removeAll(context.Background(), env)) })
	base, node := filepath.Join(t.TempDir(), "data"), e.Namespace+"-node"
	require.NoError(t, os.Mkdir(base, 0o750))
	controllers := killed(t, 1, account, testenv.Run)
	agents := killed(t, 2, testenv.AgentIdentity(cp, node), func(ctx context.Context, config *rest.Config) error {
		return testenv.RunAgent(ctx, config, node, base)
	})
	e.Apply("apiVersion: storage.weir.dev/v1alpha1\nkind: KafkaLocalVolumeSet" +
		strings.Replace(decidetest.Confluent, "/mnt/data", base, 1))
	claims := testenv.Claims(e.WaitReady("cp", "9/9", 0))
	random, binds, wrong := rand.New(rand.NewPCG(3, 4)), 0, 0
	shuffle := func() { random.Shuffle(len(claims), func(i, j int) { claims[i], claims[j] = claims[j], claims[i] }) }
	for cycle := range cycles(t) {
		shuffle()
		e.CreateClaims("5Gi", claims...)
		e.WaitReady("cp", "9/9", 9)
		for _, claim := range claims {
			directory := e.PV(e.WaitBound(claim)).Spec.Local.Path
			data := filepath.Join(directory, "data")
			if cycle == 0 {
				require.NoError(t, os.WriteFile(data, []byte(claim), 0o600))
			}
			content, err := os.ReadFile(data)
			marker := testenv.ReadMarker(directory)
			binds++
			if err != nil || string(content) != claim || marker == nil || marker.ID != e.Namespace+"/"+claim {
				wrong++
			}
		}
		shuffle()
		e.DeleteClaims(claims...)
	}
	e.WaitReady("cp", "9/9", 0)
	t.Logf("%d binds, %d to a wrong directory; the controller was killed %d times, the agent %d times", binds, wrong,
		controllers(), agents())
	require.Zero(t, wrong)
	require.Positive(t, controllers()+agents())
	entries, err := os.ReadDir(base)
	require.NoError(t, err)
	require.Len(t, entries, 9, fmt.Sprint(entries))
}
