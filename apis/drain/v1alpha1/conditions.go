package v1alpha1

// Condition types of a KafkaDrainPolicy.
const (
	// ConditionReady is True while the policy is in effect.
	ConditionReady = "Ready"
	// ConditionKafkaReachable is True while the brokers answer. It is absent without spec.bootstrapServers.
	ConditionKafkaReachable = "KafkaReachable"
	// ConditionDraining is True while a pod is being drained or replaced.
	ConditionDraining = "Draining"
	// ConditionBlocked is True while a drain is past its deadline or needs an action of the user.
	ConditionBlocked = "Blocked"
)
