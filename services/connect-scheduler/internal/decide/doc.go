// Package decide holds all that connect-scheduler knows: from the observed State of a KafkaConnector it makes a Plan of
// what to write, what to restart, and what to tell. It is pure: no client, no clock, no I/O.
//
// Read it in the order connector.go (the story), effective.go (what the user wants), findings.go (what is wrong with it),
// published.go (what the connector asked for), workload.go and pod.go (the pods), objects.go (all around them), roll.go
// (which pods restart), status.go and events.go (what people are told), storage.go and connect.go (the shared volume).
package decide
