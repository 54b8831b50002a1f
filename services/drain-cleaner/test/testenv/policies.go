package testenv

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka/kafkatest"
)

// PolicyName is the name of the policies that CreatePolicy creates.
const PolicyName = "kafka"

// CreatePolicy creates a policy and waits until it has a status.
func (e *Env) CreatePolicy(t *testing.T, namespace string, spec drainv1alpha1.KafkaDrainPolicySpec) {
	t.Helper()
	p := &drainv1alpha1.KafkaDrainPolicy{ObjectMeta: metav1.ObjectMeta{Name: PolicyName}, Spec: spec}
	_, err := e.Weir.DrainV1alpha1().KafkaDrainPolicies(namespace).Create(t.Context(), p, metav1.CreateOptions{})
	require.NoError(t, err)
	e.WaitForStatus(t, namespace, func(s drainv1alpha1.KafkaDrainPolicyStatus) error {
		if meta.FindStatusCondition(s.Conditions, drainv1alpha1.ConditionReady) == nil {
			return errors.New("the policy has no status")
		}
		return nil
	})
}

// WaitForStatus waits until check accepts the policy's status.
func (e *Env) WaitForStatus(
	t *testing.T, namespace string, check func(drainv1alpha1.KafkaDrainPolicyStatus) error,
) {
	t.Helper()
	testkit.Eventually(t, Timeout, func(ctx context.Context) error {
		p, err := e.Weir.DrainV1alpha1().KafkaDrainPolicies(namespace).Get(ctx, PolicyName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if err := check(p.Status); err != nil {
			return fmt.Errorf("%w: %+v", err, p.Status)
		}
		return nil
	})
}

// Condition checks one condition of a status.
func Condition(
	kind string, status metav1.ConditionStatus, reason string,
) func(drainv1alpha1.KafkaDrainPolicyStatus) error {
	return func(s drainv1alpha1.KafkaDrainPolicyStatus) error {
		c := meta.FindStatusCondition(s.Conditions, kind)
		if c == nil || c.Status != status || c.Reason != reason {
			return fmt.Errorf("not %s=%s with reason %s", kind, status, reason)
		}
		return nil
	}
}

// Script describes a cluster of the brokers 0, 1 and 2 with one partition, orders-0, that is fully in sync.
func Script(name string) kafkatest.Script {
	return kafkatest.Script{ClusterID: "cluster-of-" + name, Brokers: []int32{0, 1, 2}, Partitions: []kafkatest.Partition{
		{Topic: "orders", Replicas: []int32{0, 1, 2}, ISR: []int32{0, 1, 2}, MinISR: 2},
	}}
}

// InSync makes these the brokers that are alive and in sync.
func InSync(ids ...int32) func(*kafkatest.Script) {
	return func(s *kafkatest.Script) { s.Partitions[0].ISR, s.Brokers = ids, ids }
}

// SelfCheck is the spec of a policy of mode SelfCheck for pods with KafkaLabels.
func SelfCheck(bootstrap string) drainv1alpha1.KafkaDrainPolicySpec {
	return drainv1alpha1.KafkaDrainPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: KafkaLabels},
		Mode:        drainv1alpha1.ModeSelfCheck, BootstrapServers: bootstrap,
	}
}
