package decide

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
)

// bound is the claim of seed 000, as it is once it is bound.
func bound(t *testing.T) *corev1.PersistentVolumeClaim {
	t.Helper()
	s := newSim(t, State{Connector: referring("orders")})
	plan, err := Connect(ConnectState{Connect: odf(), Now: noon})
	require.NoError(t, err)
	var claim *corev1.PersistentVolumeClaim
	put(s, s.kube.CoreV1().PersistentVolumeClaims("kafka-connect-poc"), plan.Claims, &claim)
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
			writes: 1, reason: connectv1.ReasonClaimPending, message: "claim data-odf-connect-cluster-connect is being made",
		},
		"is left alone once it is bound": {reason: connectv1.ReasonBound, message: "claim data-odf-connect-cluster-connect is bound to pvc-1"},
		"tells its provisioner's trouble": {
			claim: func(c *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
				c.Status.Phase = corev1.ClaimPending
				return c
			},
			trouble: `storageclass.storage.k8s.io "rook-cephfs" not found`,
			reason:  connectv1.ReasonProvisioningFailed, message: `claim data-odf-connect-cluster-connect: storageclass.storage.k8s.io "rook-cephfs" not found`,
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
			reason: connectv1.ReasonClaimResizing, message: "claim data-odf-connect-cluster-connect grows from 1Gi to 3Gi",
		},
		"does not shrink": {
			spec:   func(s *connectv1.StorageSpec) { s.Size = "512Mi" },
			reason: connectv1.ReasonClaimDiffers, message: "claim data-odf-connect-cluster-connect is left as it is, although storage.size asks for 512Mi and it has 1Gi, and a volume cannot shrink; nothing of its data is touched",
		},
		"keeps its class": {
			spec:   func(s *connectv1.StorageSpec) { s.Class = "fast" },
			reason: connectv1.ReasonClaimDiffers, message: `claim data-odf-connect-cluster-connect is left as it is, although storage.class asks for "fast" and it has "rook-cephfs"; nothing of its data is touched`,
		},
		"keeps its access mode": {
			spec:   func(s *connectv1.StorageSpec) { s.AccessMode = corev1.ReadOnlyMany },
			reason: connectv1.ReasonClaimDiffers, message: "claim data-odf-connect-cluster-connect is left as it is, although storage.accessMode asks for ReadOnlyMany and it has ReadWriteMany; nothing of its data is touched",
		},
		"is not taken from somebody else": {
			claim: func(c *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
				c.Labels = map[string]string{"app": "theirs"}
				return c
			},
			reason: connectv1.ReasonClaimConflict, message: "PersistentVolumeClaim data-odf-connect-cluster-connect belongs to somebody else; rename or delete it, or name it in storage.existingClaim to use it",
		},
		"is not taken from a KafkaConnector of the same name": {
			claim: func(c *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
				c.Labels[labelClaimKind] = "KafkaConnector"
				return c
			},
			reason: connectv1.ReasonClaimConflict, message: "PersistentVolumeClaim data-odf-connect-cluster-connect belongs to somebody else; rename or delete it, or name it in storage.existingClaim to use it",
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
			spec:   func(s *connectv1.StorageSpec) { *s = connectv1.StorageSpec{ExistingClaim: "theirs"} },
			claim:  func(*corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim { return nil },
			reason: connectv1.ReasonClaimNotFound, message: `storage.existingClaim "theirs": there is no such PersistentVolumeClaim in namespace kafka-connect-poc; create it`,
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
		"that a former owner takes along is waited for": {
			claim: func(c *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
				c.OwnerReferences = []metav1.OwnerReference{{APIVersion: "io.confluent.csid/v1", Kind: "KafkaConnect", Name: "odf-connect-cluster", UID: "former", Controller: ptr.To(true)}}
				c.DeletionTimestamp = &metav1.Time{Time: noon}
				return c
			},
			reason: connectv1.ReasonClaimTerminating, message: "claim data-odf-connect-cluster-connect is being deleted",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			connect, claim := odf(), bound(t)
			if test.spec != nil {
				test.spec(connect.Spec.Storage)
			}
			if test.claim != nil {
				claim = test.claim(claim)
			}
			plan, err := Connect(ConnectState{Connect: connect, Claim: claim, ClaimTrouble: test.trouble, Now: noon})
			require.NoError(t, err)
			require.Len(t, plan.Claims, test.writes)
			told := toldOf(t, plan.Status.Conditions, connectv1.ConditionStorageReady)
			require.Equal(t, test.message, told.Message)
			require.Equal(t, test.reason, told.Reason)
		})
	}
}

func TestPodsAreMadeBeforeTheClaimIsBound(t *testing.T) {
	t.Parallel()
	claim := bound(t)
	claim.Status.Phase = corev1.ClaimPending
	plan, err := Connector(State{Connector: referring("orders"), Connect: odf(), Worker: workerFacts(), Claim: claim, Now: noon})
	require.NoError(t, err)
	require.Len(t, plan.StatefulSets, 1, "a class that waits for the first consumer would wait for ever")
}

func TestPodsDoNotMountAClaimOfSomebodyElse(t *testing.T) {
	t.Parallel()
	claim := bound(t)
	claim.Labels = nil
	plan, err := Connector(State{Connector: referring("orders"), Connect: odf(), Worker: workerFacts(), Claim: claim, Now: noon})
	require.NoError(t, err)
	require.True(t, plan.Empty())
	require.Equal(t, connectv1.ReasonClaimConflict, toldOf(t, plan.Status.Conditions, connectv1.ConditionReady).Reason)
}

func TestAReadOnlyVolumeIsMountedReadOnly(t *testing.T) {
	t.Parallel()
	connect := odf()
	connect.Spec.Storage.AccessMode = corev1.ReadOnlyMany
	plan, err := Connector(State{Connector: referring("orders"), Connect: connect, Worker: workerFacts(), Now: noon})
	require.NoError(t, err)
	for _, set := range plan.StatefulSets {
		mounts := set.Spec.Template.Spec.Containers[0].VolumeMounts
		require.True(t, *mounts[len(mounts)-1].ReadOnly)
	}
}
