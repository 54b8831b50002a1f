package decide

import drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"

// Reason explains a decision.
type Reason = drainv1alpha1.Reason

// MessageRolledByStrimzi is the message of Strimzi's Drain Cleaner.
const MessageRolledByStrimzi = "The pod will be rolled by the Strimzi Cluster Operator"
