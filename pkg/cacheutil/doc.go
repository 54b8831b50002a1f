// Package cacheutil contains what every service needs to read from shared informers: indexers, typed lookups, and
// transforms that keep caches small.
//
// # Indexers
//
// An index maps "namespace/name" to objects. [Index] builds the index function from a function that returns the names
// of the objects that an object refers to, in its own namespace; [AddIndexers] adds it to an informer and names the
// informer in its error. [ByIndex] reads an index:
//
//	err := cacheutil.AddIndexers(connectors.Informer(), "KafkaConnectors", cache.Indexers{
//		byClaim: cacheutil.Index(func(c *connectv1.KafkaConnector) string { return claimOf(c) }),
//	})
//	users := cacheutil.ByIndex[*connectv1.KafkaConnector](connectors.Informer(), byClaim, namespace, claim)
//
// # Lookups
//
// A lister returns a NotFound error for an object that does not exist. For a reconciler that is not an error:
// [Optional] turns it into nil. [Reads] looks up many objects and keeps the first error:
//
//	var r cacheutil.Reads
//	service := cacheutil.Get(&r, "Service", name, services.Lister().Services(namespace).Get)
//	config := cacheutil.Get(&r, "ConfigMap", name, configMaps.Lister().ConfigMaps(namespace).Get)
//	return state, r.Err()
//
// A decision that needs one error per input calls Optional for each of them instead.
//
// # Transforms
//
// A transform runs before an object enters a cache. [Transform] chains functions that each drop fields that are not
// read:
//
//	informers.WithTransform(cacheutil.Transform(
//		cacheutil.KeepManager("connect-scheduler"),
//		cacheutil.ForType(func(pod *corev1.Pod) { pod.Spec = corev1.PodSpec{NodeName: pod.Spec.NodeName} }),
//	))
//
// Informers may run a transform on the same object more than once, so a transform must be idempotent.
//
// # Definitions that may be missing
//
// [Starter] starts an informer only while the API server serves its resource, within seconds after the definition (or
// the right to watch it) appears, and reports by name the caches that are missing or not synced.
package cacheutil
