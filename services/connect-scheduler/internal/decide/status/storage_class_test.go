package status_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

func TestClaimThatIsNotBound(t *testing.T) {
	t.Parallel()
	const (
		notFound = `StorageClass "rook-cephfs" of claim data-odf-connect-cluster-connect not found, and no ` +
			"PersistentVolume of this class is available; create the StorageClass, or run `kubectl patch kafkaconnect " +
			`odf-connect-cluster -n kafka-connect-poc --type=json -p '[{"op":"remove","path":"/spec/storage"}]'`
		again  = "` and add spec.storage again with another class"
		remove = " && kubectl delete pvc data-odf-connect-cluster-connect -n kafka-connect-poc"
	)
	for name, test := range map[string]struct {
		class   observed.ClassState
		claim   func(*corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim
		reason  string
		message string
		blocks  bool
	}{
		"the class does not exist and the claim is not created": {
			class:  observed.ClassMissing,
			claim:  func(*corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim { return nil },
			reason: connectv1.ReasonStorageClassNotFound, message: notFound + again, blocks: true,
		},
		"the class does not exist and the claim holds no data": {
			class:  observed.ClassMissing,
			reason: connectv1.ReasonStorageClassNotFound, message: notFound + remove + again, blocks: true,
		},
		"the class exists and waits for the first pod": {
			class:  observed.ClassFound,
			reason: connectv1.ReasonClaimPending, message: "claim data-odf-connect-cluster-connect is not bound yet",
		},
		"the class cannot be read": {
			reason: connectv1.ReasonClaimPending, message: "claim data-odf-connect-cluster-connect is not bound yet",
		},
		"the claim has another class than the spec": {
			class: observed.ClassFound,
			claim: func(c *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
				c.Spec.StorageClassName = ptr.To("wrong")
				return c
			},
			reason: connectv1.ReasonClaimDiffers,
			message: `claim data-odf-connect-cluster-connect is not bound: storage.class is "rook-cephfs" and the claim has ` +
				`"wrong"; the claim has never been bound and holds no data; run ` +
				"`kubectl delete pvc data-odf-connect-cluster-connect -n kafka-connect-poc`: it is created again with the class " +
				"of the spec",
		},
		"the class of a volume that holds data was deleted": {
			class: observed.ClassMissing,
			claim: func(c *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
				c.Spec.VolumeName, c.Status.Phase = "pvc-1", corev1.ClaimBound
				return c
			},
			reason: connectv1.ReasonBound, message: "claim data-odf-connect-cluster-connect is bound to pvc-1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			claim := bound(t)
			claim.Spec.VolumeName, claim.Status.Phase = "", corev1.ClaimPending
			if test.claim != nil {
				claim = test.claim(claim)
			}
			plan, err := decide.Connect(observed.ConnectState{
				Connect: decidetest.Connect(), Claim: claim, Class: test.class, Now: decidetest.Noon,
			})
			require.NoError(t, err)
			got := decidetest.Condition(t, plan.Status.Conditions, connectv1.ConditionStorageReady)
			require.Equal(t, test.message, got.Message)
			require.Equal(t, test.reason, got.Reason)

			input := observed.State{
				Connector: decidetest.Referencing("orders"), Connect: decidetest.Connect(), Worker: decidetest.Worker(),
				Claim: claim, Class: test.class, Now: decidetest.Noon,
			}
			connector, err := decide.Connector(input, spec.Of(input))
			require.NoError(t, err)
			require.Equal(t, test.blocks, len(connector.StatefulSets) == 0)
		})
	}
}

func TestReadyNamesTheStorageProblemOfAPendingPod(t *testing.T) {
	t.Parallel()
	claim := bound(t)
	claim.Spec.VolumeName, claim.Status.Phase = "", corev1.ClaimPending
	input := observed.State{
		Connector: decidetest.Referencing("orders"), Connect: decidetest.Connect(), Worker: decidetest.Worker(),
		Claim: claim, ClaimWarning: "quota exceeded", Now: decidetest.Noon,
	}
	plan, err := decide.Connector(input, spec.Of(input))
	require.NoError(t, err)
	ready := decidetest.Condition(t, plan.Status.Conditions, connectv1.ConditionReady)
	require.Equal(t, connectv1.ReasonProvisioningFailed, ready.Reason)
	require.Equal(t, "claim data-odf-connect-cluster-connect: quota exceeded", ready.Message)
}
