package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// readAcceptedConfig reads the accepted connectorConfig from the API if the decision needs it. The caches hold only
// hashes of the values of Secrets.
func (a actor) readAcceptedConfig(ctx context.Context, s *observed.State, e spec.Effective) error {
	if !desired.NewBuilder(*s, e).NeedsAcceptedConfig() {
		return nil
	}
	name := observed.ConnectorName(s.Connector.Name)
	secret, err := a.kube.CoreV1().Secrets(s.Connector.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read Secret %s: %w", name, err)
	}
	s.AcceptedFiles = secret.Data
	if json.Unmarshal(secret.Data[path.Base(contract.ConnectorConfigFile)], &s.AcceptedConfig) != nil {
		// The decoder's message could contain values.
		return errors.New("read Secret " + name + ": its connector configuration is not a JSON object of strings")
	}
	return nil
}
