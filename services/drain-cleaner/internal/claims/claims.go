// Package claims stores the pods whose eviction was allowed until their replacements are in sync. They are stored in
// one Lease for each Kafka cluster, which is changed only by compare-and-swap: of two drains that decide on the same
// state one loses, whichever replicas they use.
package claims

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/cacheutil"

	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

const (
	// annotationHolders of a Lease contains the holders as JSON.
	annotationHolders = "weir.dev/drain-holders"
	// annotationCluster of a Lease describes the cluster to users.
	annotationCluster = "weir.dev/kafka-cluster"
	// Component is the value of the component label of the Leases.
	Component = "drain-claim"

	// maxSwaps is how often a lost swap is repeated on the state that won.
	maxSwaps = 3
)

// Leases is the part of the Kubernetes API that stores claims.
type Leases interface {
	apply.Swapper[*coordinationv1.Lease]
	Get(ctx context.Context, name string, o metav1.GetOptions) (*coordinationv1.Lease, error)
}

// Claims are the claims in one namespace.
type Claims struct {
	// Leases of the namespace of drain-cleaner.
	Leases Leases
	// Cached returns a Lease from a cache that may lag, or nil.
	Cached func(name string) *coordinationv1.Lease
}

// OfKafka is the key of a Kafka cluster. The name distinguishes clusters with the same ID and may be empty. The policy
// is not part of the key, because two policies may select pods of one cluster.
func OfKafka(clusterID, name string) string {
	if name == "" {
		return key("kafka", clusterID)
	}
	return key("kafka", clusterID+"/"+name)
}

// OfConnector is the key of a KafkaConnector.
func OfConnector(namespace, name string) string { return key("connect", namespace+"/"+name) }

// key is a valid name whatever characters the name of the cluster contains.
func key(kind, of string) string {
	sum := sha256.Sum256([]byte(of))
	return "drain-" + kind + "-" + hex.EncodeToString(sum[:10])
}

// Holders returns the holders from the cache. They are good enough to deny.
func (c *Claims) Holders(key string) []decide.Holder { return Read(c.Cached(key)) }

// Claim makes the pod a holder and returns all holders. claimed is false if there are maxConcurrent other holders.
func (c *Claims) Claim(
	ctx context.Context, key, description string, pod decide.Holder, maxConcurrent int,
) (holders []decide.Holder, claimed bool, err error) {
	lease := c.Cached(key)
	for range maxSwaps {
		holders = Read(lease)
		var after []decide.Holder
		if after, claimed = decide.AddHolder(holders, pod, maxConcurrent); !claimed {
			return holders, false, nil
		}
		if err = c.swap(ctx, key, description, lease, after); err == nil {
			return after, true, nil
		}
		if !apply.IsSwapLost(err) {
			return nil, false, fmt.Errorf("write Lease %s: %w", key, err)
		}
		if lease, err = c.read(ctx, key); err != nil {
			return nil, false, err
		}
	}
	return holders, false, nil
}

// Release removes the claim of a pod unless it was renewed after since.
func (c *Claims) Release(ctx context.Context, key string, uid types.UID, since time.Time) error {
	for range maxSwaps {
		lease, err := c.read(ctx, key)
		if err != nil || lease == nil {
			return err
		}
		holders := Read(lease)
		if renewed(holders, uid, since) {
			return nil
		}
		err = c.swap(ctx, key, "", lease, decide.RemoveHolder(holders, uid))
		if err == nil {
			return nil
		}
		if !apply.IsSwapLost(err) {
			return fmt.Errorf("write Lease %s: %w", key, err)
		}
	}
	return fmt.Errorf("write Lease %s: other replicas changed it %d times; retrying", key, maxSwaps)
}

// renewed reports whether the claim of a pod was renewed after since.
func renewed(holders []decide.Holder, uid types.UID, since time.Time) bool {
	for _, h := range holders {
		if h.UID == uid {
			return h.Since.After(since)
		}
	}
	return false
}

// read reads a Lease from the API server. It returns nil if the Lease does not exist.
func (c *Claims) read(ctx context.Context, key string) (*coordinationv1.Lease, error) {
	lease, err := cacheutil.Optional(c.Leases.Get(ctx, key, metav1.GetOptions{}))
	if err != nil {
		return nil, fmt.Errorf("read Lease %s: %w", key, err)
	}
	return lease, nil
}

// swap writes the holders if the Lease is still as given. A nil Lease means that it does not exist.
func (c *Claims) swap(
	ctx context.Context, key, description string, current *coordinationv1.Lease, holders []decide.Holder,
) error {
	next, err := leaseOf(key, description, current, holders)
	if err != nil {
		return err
	}
	_, err = apply.CompareAndSwap(ctx, c.Leases, decide.Manager, current, next)
	return err
}

// leaseOf returns the Lease with the holders, or nil if there are none.
func leaseOf(
	key, description string, current *coordinationv1.Lease, holders []decide.Holder,
) (*coordinationv1.Lease, error) {
	if len(holders) == 0 {
		return nil, nil
	}
	lease := current.DeepCopy()
	if lease == nil {
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: key, Labels: map[string]string{
			contract.LabelPartOf: contract.PartOf, contract.LabelName: decide.Manager, contract.LabelManagedBy: decide.Manager,
			contract.LabelComponent: Component,
		}}}
		metav1.SetMetaDataAnnotation(&lease.ObjectMeta, annotationCluster, description)
	}
	data, err := json.Marshal(holders)
	if err != nil {
		return nil, fmt.Errorf("encode the holders of Lease %s: %w", key, err)
	}
	metav1.SetMetaDataAnnotation(&lease.ObjectMeta, annotationHolders, string(data))
	identity := holders[0].Namespace + "/" + holders[0].Pod
	acquired := metav1.NewMicroTime(holders[0].First)
	renewed := metav1.NewMicroTime(holders[len(holders)-1].Since)
	lease.Spec.HolderIdentity, lease.Spec.AcquireTime, lease.Spec.RenewTime = &identity, &acquired, &renewed
	return lease, nil
}

// Read returns the holders of a Lease. If they cannot be read, it returns a holder that no pod matches, so that no
// drain passes until the user has repaired the Lease.
func Read(lease *coordinationv1.Lease) []decide.Holder {
	if lease == nil {
		return nil
	}
	value, exists := lease.Annotations[annotationHolders]
	var holders []decide.Holder
	if exists && json.Unmarshal([]byte(value), &holders) == nil {
		return holders
	}
	return []decide.Holder{{
		Namespace: lease.Namespace, UID: lease.UID,
		Pod: "an unknown pod (annotation " + annotationHolders + " of Lease " + lease.Name + " is invalid; delete the Lease)",
	}}
}
