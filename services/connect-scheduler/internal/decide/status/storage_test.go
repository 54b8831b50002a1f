package status_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

// bound is the bound claim of Strimzi proposal 112.
func bound(t *testing.T) *corev1.PersistentVolumeClaim {
	t.Helper()
	s := decidetest.New(t, observed.State{Connector: decidetest.Referencing("orders")})
	plan, err := decide.Connect(observed.ConnectState{Connect: decidetest.Connect(), Now: decidetest.Noon})
	require.NoError(t, err)
	claim := s.ApplyClaim(plan.Claims[0])
	claim.UID = "claim-uid"
	claim.Spec.VolumeName = "pvc-1"
	claim.Status.Phase = corev1.ClaimBound
	claim.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	return claim
}

func TestTheClaimOfAKafkaConnect(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spec    func(*connectv1.StorageSpec)
		claim   func(*corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim
		trouble string
		writes  int
		reason  string
		message string
	}{
		"is made": {
			claim:  func(*corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim { return nil },
			writes: 1, reason: connectv1.ReasonClaimPending, message: "creating claim data-odf-connect-cluster-connect",
		},
		"is left alone once it is bound": {
			reason:  connectv1.ReasonBound,
			message: "claim data-odf-connect-cluster-connect is bound to pvc-1",
		},
		"tells its provisioner's trouble": {
			claim: func(c *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
				c.Status.Phase = corev1.ClaimPending
				return c
			},
			trouble: `storageclass.storage.k8s.io "rook-cephfs" not found`,
			reason:  connectv1.ReasonProvisioningFailed,
			message: `claim data-odf-connect-cluster-connect: storageclass.storage.k8s.io "rook-cephfs" not found`,
		},
		"grows": {
			spec:   func(s *connectv1.StorageSpec) { s.Size = "3Gi" },
			writes: 1, reason: connectv1.ReasonBound, message: "claim data-odf-connect-cluster-connect is bound to pvc-1",
		},
		"shows that it grows": {
			spec: func(s *connectv1.StorageSpec) { s.Size = "3Gi" },
			claim: func(c *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
				c.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("3Gi")
				return c
			},
			reason: connectv1.ReasonClaimResizing, message: "expanding claim data-odf-connect-cluster-connect from 1Gi to 3Gi",
		},
		"does not shrink": {
			spec:   func(s *connectv1.StorageSpec) { s.Size = "512Mi" },
			reason: connectv1.ReasonClaimDiffers,
			message: "claim data-odf-connect-cluster-connect is unchanged: storage.size is 512Mi and the claim has 1Gi; a " +
				"volume cannot shrink",
		},
		"keeps its class": {
			spec:   func(s *connectv1.StorageSpec) { s.Class = "fast" },
			reason: connectv1.ReasonClaimDiffers,
			message: `claim data-odf-connect-cluster-connect is unchanged: storage.class is "fast" and the claim has ` +
				`"rook-cephfs"; the class of a claim is immutable`,
		},
		"keeps its access mode": {
			spec:   func(s *connectv1.StorageSpec) { s.AccessMode = corev1.ReadOnlyMany },
			reason: connectv1.ReasonClaimDiffers,
			message: "claim data-odf-connect-cluster-connect is unchanged: storage.accessMode is ReadOnlyMany and the claim " +
				"has ReadWriteMany; the access mode of a claim is immutable",
		},
		"is not taken over from another owner": {
			claim: func(c *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
				c.Labels = map[string]string{"app": "theirs"}
				return c
			},
			reason: connectv1.ReasonClaimConflict,
			message: "PersistentVolumeClaim data-odf-connect-cluster-connect exists and is not managed for KafkaConnect " +
				"odf-connect-cluster; rename or delete it, or set storage.existingClaim",
		},
		"is not taken from a KafkaConnector of the same name": {
			claim: func(c *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
				c.Labels[spec.LabelClaimKind] = "KafkaConnector"
				return c
			},
			reason: connectv1.ReasonClaimConflict,
			message: "PersistentVolumeClaim data-odf-connect-cluster-connect exists and is not managed for KafkaConnect " +
				"odf-connect-cluster; rename or delete it, or set storage.existingClaim",
		},
		"that exists already is used as it is": {
			spec: func(s *connectv1.StorageSpec) { *s = connectv1.StorageSpec{ExistingClaim: "theirs"} },
			claim: func(c *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
				c.Labels, c.Name = nil, "theirs"
				return c
			},
			reason: connectv1.ReasonBound, message: "claim theirs is bound to pvc-1",
		},
		"that should exist already is named": {
			spec:    func(s *connectv1.StorageSpec) { *s = connectv1.StorageSpec{ExistingClaim: "theirs"} },
			claim:   func(*corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim { return nil },
			reason:  connectv1.ReasonClaimNotFound,
			message: `storage.existingClaim "theirs": PersistentVolumeClaim not found in namespace kafka-connect-poc; create it`,
		},
		"has lost its volume": {
			claim: func(c *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
				c.Status.Phase = corev1.ClaimLost
				return c
			},
			reason: connectv1.ReasonClaimLost, message: "claim data-odf-connect-cluster-connect has lost its volume pvc-1",
		},
		"is owned once it may be deleted": {
			spec:   func(s *connectv1.StorageSpec) { s.DeleteClaim = true },
			writes: 1, reason: connectv1.ReasonBound, message: "claim data-odf-connect-cluster-connect is bound to pvc-1",
		},
		"of a deleted owner is waited for": {
			claim: func(c *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
				c.OwnerReferences = []metav1.OwnerReference{{
					APIVersion: "io.confluent.csid/v1",
					Kind:       "KafkaConnect",
					Name:       "odf-connect-cluster",
					UID:        "deleted",
					Controller: ptr.To(true),
				}}
				c.DeletionTimestamp = &metav1.Time{Time: decidetest.Noon}
				return c
			},
			reason: connectv1.ReasonClaimTerminating, message: "claim data-odf-connect-cluster-connect is being deleted",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			connect, claim := decidetest.Connect(), bound(t)
			if test.spec != nil {
				test.spec(connect.Spec.Storage)
			}
			if test.claim != nil {
				claim = test.claim(claim)
			}
			plan, err := decide.Connect(
				observed.ConnectState{Connect: connect, Claim: claim, ClaimWarning: test.trouble, Now: decidetest.Noon},
			)
			require.NoError(t, err)
			require.Len(t, plan.Claims, test.writes)
			ready := decidetest.Condition(t, plan.Status.Conditions, connectv1.ConditionStorageReady)
			require.Equal(t, test.message, ready.Message)
			require.Equal(t, test.reason, ready.Reason)
		})
	}
}

func TestPodsAreCreatedBeforeTheClaimIsBound(t *testing.T) {
	t.Parallel()
	claim := bound(t)
	claim.Status.Phase = corev1.ClaimPending
	input := observed.State{
		Connector: decidetest.Referencing("orders"),
		Connect:   decidetest.Connect(),
		Worker:    decidetest.Worker(),
		Claim:     claim,
		Now:       decidetest.Noon,
	}
	plan, err := decide.Connector(input, spec.Of(input))
	require.NoError(t, err)
	require.Len(t, plan.StatefulSets, 1, "a class that waits for the first consumer would wait for ever")
}

func TestPodsDoNotMountAClaimOfAnotherOwner(t *testing.T) {
	t.Parallel()
	claim := bound(t)
	claim.Labels = nil
	input := observed.State{
		Connector: decidetest.Referencing("orders"),
		Connect:   decidetest.Connect(),
		Worker:    decidetest.Worker(),
		Claim:     claim,
		Now:       decidetest.Noon,
	}
	plan, err := decide.Connector(input, spec.Of(input))
	require.NoError(t, err)
	require.True(t, plan.Empty())
	require.Equal(
		t,
		connectv1.ReasonClaimConflict,
		decidetest.Condition(t, plan.Status.Conditions, connectv1.ConditionReady).Reason,
	)
}

func TestAReadOnlyVolumeIsMountedReadOnly(t *testing.T) {
	t.Parallel()
	connect := decidetest.Connect()
	connect.Spec.Storage.AccessMode = corev1.ReadOnlyMany
	input := observed.State{
		Connector: decidetest.Referencing("orders"),
		Connect:   connect,
		Worker:    decidetest.Worker(),
		Now:       decidetest.Noon,
	}
	plan, err := decide.Connector(input, spec.Of(input))
	require.NoError(t, err)
	for _, set := range plan.StatefulSets {
		mounts := set.Spec.Template.Spec.Containers[0].VolumeMounts
		require.True(t, *mounts[len(mounts)-1].ReadOnly)
	}
}
