// Package claims keeps, for each Kafka cluster, the pods that were allowed to go until their replacements are back in sync. It does so
// in Leases, changed only by compare-and-swap, so that of two drains that see the same state one loses, in whatever replica they are.
package claims

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

const (
	// annotationHolders on a Lease are the holders, as JSON.
	annotationHolders = "weir.dev/drain-holders"
	// annotationCluster on a Lease is the cluster that it is about, for people.
	annotationCluster = "weir.dev/kafka-cluster"
	// Component is the label by which the Leases are found.
	Component = "drain-claim"

	// tries is how often a swap that lost is tried again on the state that won.
	tries = 3
)

// Leases is what of the Kubernetes API claims are kept with.
type Leases interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (*coordinationv1.Lease, error)
	Create(ctx context.Context, lease *coordinationv1.Lease, o metav1.CreateOptions) (*coordinationv1.Lease, error)
	Update(ctx context.Context, lease *coordinationv1.Lease, o metav1.UpdateOptions) (*coordinationv1.Lease, error)
	Delete(ctx context.Context, name string, o metav1.DeleteOptions) error
}

// Claims are those in one namespace.
type Claims struct {
	// Leases of the namespace of drain-cleaner.
	Leases Leases
	// Cached finds a Lease in a cache that may lag; nil where it has none.
	Cached func(name string) *coordinationv1.Lease
}

// OfKafka is the key of a Kafka cluster: of its id and of the name that tells it from others of the same id, empty where it needs none.
// Whose policy it is does not count, for two may be about one cluster.
func OfKafka(clusterID, name string) string {
	if name == "" {
		return key("kafka", clusterID)
	}
	return key("kafka", clusterID+"/"+name)
}

// OfConnector is the key of a KafkaConnector.
func OfConnector(namespace, name string) string { return key("connect", namespace+"/"+name) }

// key is a name that is valid whatever characters the cluster's has.
func key(kind, of string) string {
	sum := sha256.Sum256([]byte(of))
	return "drain-" + kind + "-" + hex.EncodeToString(sum[:10])
}

// Holders gives those that a cache knows of: good enough to deny.
func (c *Claims) Holders(key string) []decide.Holder { return Read(c.Cached(key)) }

// Claim makes the pod a holder, and gives all holders. Where others hold as many claims as there may be, claimed is false.
func (c *Claims) Claim(ctx context.Context, key, cluster string, want decide.Holder, most int) (holders []decide.Holder, claimed bool, err error) {
	lease := c.Cached(key)
	for range tries {
		holders = Read(lease)
		var after []decide.Holder
		if after, claimed = decide.Claim(holders, want, most); !claimed {
			return holders, false, nil
		}
		if err = c.swap(ctx, key, cluster, lease, after); err == nil {
			return after, true, nil
		}
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			return nil, false, fmt.Errorf("write lease %s: %w", key, err)
		}
		if lease, err = c.live(ctx, key); err != nil {
			return nil, false, err
		}
	}
	return holders, false, nil
}

// Release takes the claim of one pod away, if it was not renewed since it was read.
func (c *Claims) Release(ctx context.Context, key string, uid types.UID, since time.Time) error {
	for range tries {
		lease, err := c.live(ctx, key)
		if err != nil || lease == nil {
			return err
		}
		holders := Read(lease)
		if renewed(holders, uid, since) {
			return nil
		}
		err = c.swap(ctx, key, "", lease, decide.Drop(holders, uid))
		if err == nil || apierrors.IsNotFound(err) {
			return nil
		}
		if !apierrors.IsConflict(err) {
			return fmt.Errorf("write lease %s: %w", key, err)
		}
	}
	return fmt.Errorf("write lease %s: others keep writing it", key)
}

func renewed(holders []decide.Holder, uid types.UID, since time.Time) bool {
	for _, h := range holders {
		if h.UID == uid {
			return h.Since.After(since)
		}
	}
	return false
}

func (c *Claims) live(ctx context.Context, key string) (*coordinationv1.Lease, error) {
	lease, err := c.Leases.Get(ctx, key, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read lease %s: %w", key, err)
	}
	return lease, nil
}

// swap writes the holders where the Lease is still the one given; nil stands for none. It does not apply on the server's side,
// which would create or overwrite: losing is what it is for.
func (c *Claims) swap(ctx context.Context, key, cluster string, from *coordinationv1.Lease, holders []decide.Holder) error {
	if from == nil {
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: key, Labels: map[string]string{
			contract.LabelPartOf: contract.PartOf, contract.LabelName: "drain-cleaner", contract.LabelManagedBy: "drain-cleaner", contract.LabelComponent: Component,
		}}}
		metav1.SetMetaDataAnnotation(&lease.ObjectMeta, annotationCluster, cluster)
		if err := write(lease, holders); err != nil {
			return err
		}
		_, err := c.Leases.Create(ctx, lease, metav1.CreateOptions{})
		return err
	}
	if len(holders) == 0 {
		return c.Leases.Delete(ctx, key, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &from.UID, ResourceVersion: &from.ResourceVersion}})
	}
	lease := from.DeepCopy()
	if err := write(lease, holders); err != nil {
		return err
	}
	_, err := c.Leases.Update(ctx, lease, metav1.UpdateOptions{})
	return err
}

func write(lease *coordinationv1.Lease, holders []decide.Holder) error {
	data, err := json.Marshal(holders)
	if err != nil {
		return fmt.Errorf("encode the holders: %w", err)
	}
	metav1.SetMetaDataAnnotation(&lease.ObjectMeta, annotationHolders, string(data))
	first := holders[0].Namespace + "/" + holders[0].Pod
	acquired, renewed := metav1.NewMicroTime(holders[0].First), metav1.NewMicroTime(holders[len(holders)-1].Since)
	lease.Spec.HolderIdentity, lease.Spec.AcquireTime, lease.Spec.RenewTime = &first, &acquired, &renewed
	return nil
}

// Read gives the holders of a Lease. One whose holders cannot be read has one that nobody is, so that nothing passes until
// somebody has looked.
func Read(lease *coordinationv1.Lease) []decide.Holder {
	if lease == nil {
		return nil
	}
	value, written := lease.Annotations[annotationHolders]
	var holders []decide.Holder
	if written && json.Unmarshal([]byte(value), &holders) == nil {
		return holders
	}
	return []decide.Holder{{Namespace: lease.Namespace, Pod: "lease " + lease.Name + ", which cannot be read; delete it", UID: lease.UID}}
}
