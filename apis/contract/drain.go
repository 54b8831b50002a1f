package contract

// Labels that Strimzi's operator sets on the pods of Kafka and ZooKeeper clusters.
// Writer: Strimzi's operator. Reader: drain-cleaner.
const (
	// StrimziKind is StrimziKindKafka on every pod of a Kafka resource.
	StrimziKind      = "strimzi.io/kind"
	StrimziKindKafka = "Kafka"
	// StrimziName is the name of the component that the pod belongs to, for example my-cluster-kafka.
	StrimziName = "strimzi.io/name"
)

// AnnotationDrain on a pod holds a DrainRequest in JSON: the time and the number of eviction requests. It is set only
// on pods that a KafkaDrainPolicy selects. All replicas of drain-cleaner use it, and it is deleted with the pod.
// Writer: drain-cleaner. Readers: drain-cleaner, users.
const AnnotationDrain = "weir.dev/drain"

// DrainRequest is the value of AnnotationDrain. Times are RFC 3339 in UTC.
type DrainRequest struct {
	// Since is the time of the first eviction request.
	Since string `json:"since"`
	// Last is the time of the last recorded eviction request. A drain ends when no request follows for some minutes.
	Last string `json:"last"`
	// Attempts is the recorded number of eviction requests.
	Attempts int32 `json:"attempts"`
}

// LabelLocalVolume marks a PersistentVolume whose data is on a disk of one node. Its value is "true".
// Writer: volume-provisioner. Reader: drain-cleaner.
const LabelLocalVolume = "weir.dev/local-volume"

// LabelDrain on a namespace, with the value DrainIgnore, excludes the namespace from drain-cleaner's webhook.
// Writer: users. Reader: the ValidatingWebhookConfiguration of drain-cleaner.
const (
	LabelDrain  = "weir.dev/drain-cleaner"
	DrainIgnore = "ignore"
)
