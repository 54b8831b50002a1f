// Package suites contains the suites for a kind cluster, one file per suite.
package suites

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weir-dev/weir/e2e/kind/internal/cluster"
	"github.com/weir-dev/weir/e2e/kind/internal/env"
	"github.com/weir-dev/weir/e2e/kind/internal/suite"
)

const (
	// system is the namespace of the services.
	system = "weir-system"
	// stepLimit is the time limit of a step that takes seconds on an idle machine.
	stepLimit = 4 * time.Minute
	// setupLimit is the time limit for the setup of a suite.
	setupLimit = 6 * time.Minute
)

// environment is the cluster that all suites use.
type environment struct {
	*env.Env
	cluster *cluster.Cluster
}

// All returns the suites in their order.
func All(kubernetes *env.Env, c *cluster.Cluster) []suite.Suite {
	e := &environment{kubernetes, c}
	all := []suite.Suite{
		{
			Name:        "smoke",
			Run:         e.smoke,
			Description: "each service works on its own, installed from its directory in deploy/",
		},
		{
			Name:        "connect",
			Run:         e.connect,
			Description: "Kafka Connect without workers: each connector and each task in its own pod",
		},
		{Name: "storage", Run: e.storage, Description: "one volume that connectors and tasks share"},
		{Name: "drain", Run: e.drain, Description: "no node drain takes a partition below min.insync.replicas"},
		{
			Name:        "volumes",
			Run:         e.volumes,
			Services:    []string{"volume-provisioner"},
			Description: "every replica of the Confluent chart gets its own directories back",
		},
		{
			Name:        "gluster",
			Run:         e.gluster,
			Services:    []string{"gluster-bridge"},
			Description: "volumes on GlusterFS servers that Kubernetes does not manage",
		},
		// The last one: the cluster has a worker less afterwards.
		{
			Name:        "together",
			Run:         e.together,
			Services:    []string{"volume-provisioner", "gluster-bridge"},
			Description: "five services under load, while nodes are drained and lost, and pods deleted and upgraded",
		},
	}
	for i, s := range all {
		all[i].Run = func(ctx context.Context, r *suite.Results) error {
			if err := s.Run(ctx, r); err != nil {
				return err
			}
			// The namespace of a failed suite is kept for diagnosis.
			_, err := e.Kubectl(ctx, "delete", "namespace", "e2e-"+s.Name, "--wait=false")
			return err
		}
	}
	return all
}

// step is one check with its time limit. run returns a short result.
type step struct {
	check string
	limit time.Duration
	run   func(context.Context) (string, error)
}

// steps runs steps until the first error.
func steps(ctx context.Context, r *suite.Results, all []step) error {
	for _, s := range all {
		if err := r.Step(ctx, s.check, s.limit, s.run); err != nil {
			return err
		}
	}
	return nil
}

// install applies deploy/base and the directory of a service in deploy/, and waits until its Deployments are available.
func (e *environment) install(ctx context.Context, service string) error {
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	for _, name := range []string{"base", service} {
		if _, err := e.Kubectl(ctx, "apply", "-k", "deploy/"+name); err != nil {
			return err
		}
	}
	selector := "app.kubernetes.io/name=" + service
	if e.cluster.Reused {
		if _, err := e.Kubectl(ctx, "rollout", "restart", "-n", system, "deployment", "-l", selector); err != nil {
			return err
		}
	}
	return e.Available(ctx, system, selector)
}

// sharedVolume creates a ReadWriteMany volume with its own storage class. Pods on all nodes can use it.
func (e *environment) sharedVolume(ctx context.Context, class string) error {
	// A volume of an earlier run is bound to a deleted claim.
	if _, err := e.Kubectl(ctx, "delete", "pv", class, "--ignore-not-found"); err != nil {
		return err
	}
	dir, err := e.cluster.SharedDir(class)
	if err != nil {
		return err
	}
	return e.ApplyFile(ctx, "default", "shared.yaml", "CLASS", class, "DIRECTORY", dir)
}

// deleted waits until no pod matches a label selector.
func (e *environment) deleted(ctx context.Context, namespace, selector string) error {
	return env.Until(ctx, "the deletion of all pods", func(ctx context.Context) error {
		pods, err := e.Pods(ctx, namespace, selector)
		if err == nil && len(pods) > 0 {
			err = fmt.Errorf("%d pods exist", len(pods))
		}
		return err
	})
}

// brokers is a Kafka cluster of manifests/kafka.yaml. placement and storage are parts of its StatefulSet: fields of the
// pods, and volumes.
type brokers struct {
	namespace          string
	replicas           int
	id                 string
	placement, storage string
}

// installBrokers applies the manifest.
func (e *environment) installBrokers(ctx context.Context, b brokers) error {
	return e.ApplyFile(ctx, b.namespace, "kafka.yaml", "BROKERS", fmt.Sprint(b.replicas), "IDENTITY", b.id,
		"PLACEMENT", b.placement, "STORAGE", b.storage)
}

// clusterID returns a random Kafka cluster ID: 16 bytes in unpadded URL-safe base64. drain-cleaner identifies
// clusters by this ID.
func clusterID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	// Hexadecimal digits are valid base64 and never start with "-".
	return hex.EncodeToString(id[:])[:21] + "A"
}

// kafka starts brokers in a new namespace and waits until they accept requests. prepare creates prerequisites in the
// namespace.
func (e *environment) kafka(ctx context.Context, b brokers, prepare func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, setupLimit)
	defer cancel()
	if err := e.Namespace(ctx, b.namespace); err != nil {
		return err
	}
	if err := prepare(ctx); err != nil {
		return err
	}
	if err := e.installBrokers(ctx, b); err != nil {
		return err
	}
	return env.Until(ctx, "the brokers", func(ctx context.Context) error {
		_, err := e.Kubectl(ctx, "exec", "-n", b.namespace, "load", "--", "load", "topic", "--topic", "ready")
		return err
	})
}

// oneBroker starts a broker on the control plane node. Suites stop and drain only the workers.
func (e *environment) oneBroker(ctx context.Context, namespace string) error {
	const placement = `tolerations: [{operator: Exists}]
      nodeSelector: {node-role.kubernetes.io/control-plane: ""}`
	const storage = "volumes: [{name: data, emptyDir: {}}]"
	return e.kafka(ctx, brokers{namespace, 1, clusterID(), placement, storage},
		func(context.Context) error { return nil })
}

// moving waits until a topic has new records of at least a number of tasks since an earlier tally.
func (e *environment) moving(ctx context.Context, namespace, topic string, earlier env.Tally,
	tasks int) (env.Tally, error) {
	var now env.Tally
	err := env.Until(ctx, "records in "+topic, func(ctx context.Context) (err error) {
		if now, err = e.Count(ctx, namespace, topic); err != nil {
			return err
		}
		more := 0
		for key, n := range now.PerKey {
			if n > earlier.PerKey[key] {
				more++
			}
		}
		if more < tasks {
			return fmt.Errorf("%d of %d tasks have written new records", more, tasks)
		}
		return nil
	})
	return now, err
}

// explain returns an error with the state and the last error of a connector without records.
func (e *environment) explain(ctx context.Context, namespace, name string) error {
	c, err := e.Weir.IoV1().KafkaConnectors(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	lastError := ""
	if c.Status.Connector != nil {
		lastError = c.Status.Connector.LastError
	}
	for _, task := range c.Status.Tasks {
		lastError = cmp.Or(lastError, task.LastError)
	}
	return fmt.Errorf("connector %s has not written records yet: state %q, tasks %s, last error %q",
		name, c.Status.State, c.Status.TaskSummary, lastError)
}

// merge applies a merge patch to a KafkaConnector.
func (e *environment) merge(ctx context.Context, namespace, name, patch string) error {
	connectors := e.Weir.IoV1().KafkaConnectors(namespace)
	_, err := connectors.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("patch connector %s: %w", name, err)
	}
	return nil
}

// ofConnector returns the label selector of the pods of a connector.
func ofConnector(name string) string { return "io.confluent.csid.connect.connector=" + name }

// identities returns the UID and restart count of each pod by name. They change when a pod is restarted or replaced.
func (e *environment) identities(ctx context.Context, namespace, selector string) (map[string]string, error) {
	pods, err := e.Pods(ctx, namespace, selector)
	if err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for name, pod := range pods {
		restarts := int32(0)
		for _, c := range pod.Status.ContainerStatuses {
			restarts += c.RestartCount
		}
		ids[name] = fmt.Sprintf("%s/%d", pod.UID, restarts)
	}
	return ids, nil
}

// changed returns the names of the pods whose identities differ.
func changed(before, after map[string]string) []string {
	var names []string
	for name, id := range before {
		if after[name] != id {
			names = append(names, name)
		}
	}
	return names
}

// oneLine joins a text to one line of at most most bytes.
func oneLine(s string, most int) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
