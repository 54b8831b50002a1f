package env

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weir-dev/weir/pkg/testkit"
)

const (
	drainCleaner = "drain-cleaner"
	// drainWebhook is the name of its ValidatingWebhookConfiguration.
	drainWebhook = "weir-drain-cleaner"
)

// StartDrainCleaner runs bin/drain-cleaner under the ServiceAccount of its kustomize base and with the arguments of its
// Deployment. It waits until it is ready and the API server trusts its certificate. The API server calls the process
// instead of the Service.
func StartDrainCleaner(ctx context.Context, cp *testkit.ControlPlane, root string, args ...string) (*Service, error) {
	account, err := cp.ServiceAccount(ctx, Namespace, drainCleaner)
	if err != nil {
		return nil, err
	}
	args = append([]string{
		"--leader-elect", "--lease-namespace=" + Namespace, "--require-node-cordoned=true", "--policies=required",
		"--webhook-address=127.0.0.1:0", "--service-name=localhost", "--certificate-secret=" + drainCleaner + "-tls",
		"--service-namespace=" + Namespace, "--shutdown-delay=0s",
	}, args...)
	s, err := startService(ctx, cp, drainCleaner, filepath.Join(root, "bin", drainCleaner), account, args...)
	if err != nil {
		return nil, err
	}
	if err := s.receiveReviews(ctx, cp); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Service) receiveReviews(ctx context.Context, cp *testkit.ControlPlane) error {
	_, port, err := net.SplitHostPort(s.logged("serving admission reviews"))
	if err != nil {
		return fmt.Errorf("find the address of the webhook: %w", err)
	}
	configurations := cp.Client().AdmissionregistrationV1().ValidatingWebhookConfigurations()
	patch := fmt.Sprintf(`[{"op":"remove","path":"/webhooks/0/clientConfig/service"},`+
		`{"op":"add","path":"/webhooks/0/clientConfig/url","value":"https://localhost:%s/drainer"}]`, port)
	_, err = configurations.Patch(ctx, drainWebhook, types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("point %s to the process: %w", drainWebhook, err)
	}
	return testkit.Poll(ctx, "the caBundle of "+drainWebhook, func(ctx context.Context) error {
		c, err := configurations.Get(ctx, drainWebhook, metav1.GetOptions{})
		if err == nil && len(c.Webhooks[0].ClientConfig.CABundle) == 0 {
			err = errors.New("it is empty")
		}
		return err
	})
}
