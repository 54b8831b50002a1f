package integration_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/testkit"

	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

// Any client that reaches the port can send a review. With the flags of the base it rolls no broker unless its node is
// being drained.
func TestForgedReviewRollsNoBrokerOnANodeThatIsNotDrained(t *testing.T) {
	t.Parallel()
	env := testenv.Install(t)
	ns := env.Namespace(t)
	env.AddTestNodes(t, 2)
	env.StatefulSet(t, ns, "my-cluster-kafka", 2, testenv.StrimziLabels)
	address, stop, err := env.StartProcess(context.Background(), "forged")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, stop()) })
	require.NoError(t, testenv.WaitForCertificate(t.Context(), address))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()

	first, second := env.Pod(t, ns, "my-cluster-kafka-0"), env.Pod(t, ns, "my-cluster-kafka-1")
	require.NotEqual(t, first.Spec.NodeName, second.Spec.NodeName)
	response, err := review(t.Context(), client, address, ns, first.Name)
	require.NoError(t, err)
	assert.False(t, response.Allowed)
	assert.Contains(t, response.Result.Message, "NodeNotCordoned: node "+first.Spec.NodeName)

	// Annotations are written in the order of the reviews.
	require.NoError(t, env.Cordon(t.Context(), second.Spec.NodeName))
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		if _, err := review(ctx, client, address, ns, second.Name); err != nil {
			return err
		}
		if env.Pod(t, ns, second.Name).Annotations[contract.ManualRollingUpdate] != "true" {
			return errors.New("the pod on the cordoned node is not rolled")
		}
		return nil
	})
	assert.NotContains(t, env.Pod(t, ns, first.Name).Annotations, contract.ManualRollingUpdate)
}
