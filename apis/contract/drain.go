package contract

// Labels by which Strimzi's Drain Cleaner, and so ours, knows the pods of Kafka and ZooKeeper.
// Writer: Strimzi's operator. Reader: drain-cleaner.
const (
	// StrimziKind is StrimziKindKafka on every pod of a Kafka resource.
	StrimziKind      = "strimzi.io/kind"
	StrimziKindKafka = "Kafka"
	// StrimziName is the name of what the pod belongs to, for example my-cluster-kafka.
	StrimziName = "strimzi.io/name"
)

// AnnotationDrain on a pod that a KafkaDrainPolicy selects holds, as a JSON DrainRequest, since when and how often its eviction
// has been asked for: all replicas of drain-cleaner count from it, and it ends with the pod.
// Writer: drain-cleaner. Readers: drain-cleaner, people.
const AnnotationDrain = "weir.dev/drain"

// DrainRequest is the value of AnnotationDrain. The times are RFC 3339 in UTC.
type DrainRequest struct {
	// Since is when the pod's eviction was first asked for.
	Since string `json:"since"`
	// Last is when it was last asked for, as far as it has been written; a request that nobody repeats is over after a while.
	Last string `json:"last"`
	// Attempts is how often, as far as it has been written.
	Attempts int32 `json:"attempts"`
}

// LabelLocalVolume on a PersistentVolume says that its data is on the disk of one node; its value is "true".
// Writer: volume-provisioner. Reader: drain-cleaner.
const LabelLocalVolume = "weir.dev/local-volume"

// LabelDrain on a namespace takes its pods out of drain-cleaner's sight; its value is DrainIgnore.
// Writer: people. Reader: the webhook's configuration of drain-cleaner.
const (
	LabelDrain  = "weir.dev/drain-cleaner"
	DrainIgnore = "ignore"
)
