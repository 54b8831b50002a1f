package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

func TestServiceIsReadySoonAfterMissingDefinitionsAppear(t *testing.T) {
	t.Parallel()
	cp := testkit.New(t)
	account, err := testenv.Install(t.Context(), cp)
	require.NoError(t, err)
	for _, resource := range []string{"kafkaconnectors", "kafkaconnects"} {
		_, err = cp.Kubectl(t.Context(), "delete", "crd", resource+".io.confluent.csid")
		require.NoError(t, err)
		testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
			client := cp.Dynamic().Resource(connectv1.SchemeGroupVersion.WithResource(resource))
			if _, err := client.List(ctx, metav1.ListOptions{}); !apierrors.IsNotFound(err) {
				return fmt.Errorf("the API server still serves %s: %s", resource, fmt.Sprint(err))
			}
			return nil
		})
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	testenv.Start(t, func(ctx context.Context) error {
		return testenv.Run(ctx, account, testenv.Options{MetricsAddress: address})
	})
	testenv.Start(t, func(ctx context.Context) error { return testenv.RunFakeRunner(ctx, cp.RESTConfig()) })

	for _, resource := range []string{"kafkaconnectors", "kafkaconnects"} {
		testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
			want := fmt.Sprintf("cache of %s.io.confluent.csid is not synced: the API server does not serve "+
				"io.confluent.csid/v1 %s; install its CustomResourceDefinition", resource, resource)
			if err := ready(ctx, address); err == nil || !strings.Contains(err.Error(), want) {
				return fmt.Errorf("/readyz returns %s, expected %q", fmt.Sprint(err), want)
			}
			return nil
		})
	}
	// An informer that retries with backoff waits longer and longer. It would wait for many seconds more after this time.
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); {
		require.Error(t, ready(t.Context(), address))
		<-time.After(time.Second)
	}
	definitions, err := cp.Kubectl(t.Context(), "kustomize", testenv.Deploy("crds"))
	require.NoError(t, err)
	_, err = cp.ApplyYAML(t.Context(), "", definitions)
	require.NoError(t, err)
	began := time.Now()
	testkit.Eventually(t, 5*time.Second, func(ctx context.Context) error { return ready(ctx, address) })
	t.Logf("ready %s after the definitions were established", time.Since(began).Round(time.Millisecond))
	testenv.At(t, cp, cp.Namespace(t)).StartConnector("test", 1)
}

// ready returns an error with the body of /readyz unless it answers with 200.
func ready(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(string(body))
	}
	return err
}
