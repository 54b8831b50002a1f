// Package suites holds what is shown on a kind cluster, a file for each suite.
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
	// system is where the services run.
	system = "weir-system"
	// patience is how long one thing may take that takes seconds on a machine with nothing else to do.
	patience = 4 * time.Minute
	// setup is how long it may take in all to set up what a suite needs.
	setup = 6 * time.Minute
)

// environment is what all suites work on.
type environment struct {
	*env.Env
	cluster *cluster.Cluster
}

// All are the suites in the order in which they run.
func All(w *env.Env, c *cluster.Cluster) []suite.Suite {
	e := &environment{w, c}
	all := []suite.Suite{
		{Name: "smoke", About: "each service works by itself, installed from its own directory of deploy/", Run: e.smoke},
		{Name: "connect", About: "seed 001: connectors and tasks as pods, each by itself", Run: e.connect},
		{Name: "storage", About: "seed 000: one volume that connectors and tasks share", Run: e.storage},
		{Name: "drain", About: "seed 003: node drains that take no partition below its minimum in-sync replicas", Run: e.drain},
		{Name: "together", About: "all services at once: connectors at work during a rolling drain", Run: e.together},
	}
	for i, s := range all {
		all[i].Run = func(ctx context.Context, p *suite.Proof) error {
			if err := s.Run(ctx, p); err != nil {
				return err
			}
			// What has been proved makes room; what has failed stays to be looked at.
			_, err := e.Kubectl(ctx, "delete", "namespace", "e2e-"+s.Name, "--wait=false")
			return err
		}
	}
	return all
}

// step is one claim, and how it is proved.
type step struct {
	claim string
	limit time.Duration
	prove func(context.Context) (string, error)
}

func steps(ctx context.Context, p *suite.Proof, all []step) error {
	for _, s := range all {
		if err := p.Step(ctx, s.claim, s.limit, s.prove); err != nil {
			return err
		}
	}
	return nil
}

// install applies a service's directory of deploy/ and waits until its Deployment runs.
func (e *environment) install(ctx context.Context, service, deployment string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := e.Kubectl(ctx, "apply", "-k", "deploy/"+service); err != nil {
		return err
	}
	if e.cluster.Used {
		if _, err := e.Kubectl(ctx, "rollout", "restart", "-n", system, "deployment/"+deployment); err != nil {
			return err
		}
	}
	return e.Available(ctx, system, deployment)
}

// sharedVolume makes a volume that pods on all nodes may write, of a storage class that only its claim names.
func (e *environment) sharedVolume(ctx context.Context, class string) error {
	// One that an earlier run has left is bound to a claim that is gone.
	if _, err := e.Kubectl(ctx, "delete", "pv", class, "--ignore-not-found"); err != nil {
		return err
	}
	dir, err := e.cluster.SharedDir(class)
	if err != nil {
		return err
	}
	return e.ApplyFile(ctx, "default", "shared.yaml", "CLASS", class, "DIRECTORY", dir)
}

// gone waits until no pod is left of those that are selected.
func (e *environment) gone(ctx context.Context, namespace, selector string) error {
	return env.Until(ctx, "the end of all pods", func(ctx context.Context) error {
		pods, err := e.Pods(ctx, namespace, selector)
		if err == nil && len(pods) > 0 {
			err = fmt.Errorf("there are %d pods", len(pods))
		}
		return err
	})
}

// kafka starts brokers in a fresh namespace, and waits until they answer.
func (e *environment) kafka(ctx context.Context, namespace string, brokers int, placement, volume string) error {
	return e.kafkaOn(ctx, namespace, brokers, placement, volume, func(context.Context) error { return nil })
}

// clusterID is an identity that no other Kafka cluster has, as drain-cleaner keeps account by it: 16 bytes in Kafka's notation.
func clusterID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // it never fails
	// Hexadecimal digits are fit for it, and none of them looks like the beginning of an option.
	return hex.EncodeToString(id[:])[:21] + "A"
}

// kafkaOn is kafka with what the brokers need made first.
func (e *environment) kafkaOn(ctx context.Context, namespace string, brokers int, placement, volume string, first func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, setup)
	defer cancel()
	if err := e.Namespace(ctx, namespace); err != nil {
		return err
	}
	if err := first(ctx); err != nil {
		return err
	}
	if err := e.ApplyFile(ctx, namespace, "kafka.yaml", "BROKERS", fmt.Sprint(brokers), "IDENTITY", clusterID(), "PLACEMENT", placement, "VOLUME", volume); err != nil {
		return err
	}
	return env.Until(ctx, "the brokers", func(ctx context.Context) error {
		_, err := e.Kubectl(ctx, "exec", "-n", namespace, "load", "--", "load", "topic", "--topic", "ready")
		return err
	})
}

// oneBroker is out of the way of the workers, which suites stop and drain.
func (e *environment) oneBroker(ctx context.Context, namespace string) error {
	return e.kafka(ctx, namespace, 1, `tolerations: [{operator: Exists}]
      nodeSelector: {node-role.kubernetes.io/control-plane: ""}`, "emptyDir: {}")
}

// moving waits until a topic has more records than it had, of so many tasks.
func (e *environment) moving(ctx context.Context, namespace, topic string, than env.Tally, tasks int) (env.Tally, error) {
	var now env.Tally
	err := env.Until(ctx, "records in "+topic, func(ctx context.Context) (err error) {
		if now, err = e.Count(ctx, namespace, topic); err != nil {
			return err
		}
		more := 0
		for key, n := range now.PerKey {
			if n > than.PerKey[key] {
				more++
			}
		}
		if more < tasks {
			return fmt.Errorf("%d of %d tasks have written since", more, tasks)
		}
		return nil
	})
	return now, err
}

// why says what a connector that moves no records is at.
func (e *environment) why(ctx context.Context, namespace, name string) error {
	c, err := e.Weir.IoV1().KafkaConnectors(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	said := ""
	if c.Status.Connector != nil {
		said = c.Status.Connector.LastError
	}
	for _, task := range c.Status.Tasks {
		said = cmp.Or(said, task.LastError)
	}
	return fmt.Errorf("connector %s has moved none yet: state %q, tasks %s; last error: %q", name, c.Status.State, c.Status.TaskSummary, said)
}

// merge patches a KafkaConnector.
func (e *environment) merge(ctx context.Context, namespace, name, patch string) error {
	_, err := e.Weir.IoV1().KafkaConnectors(namespace).Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("patch connector %s: %w", name, err)
	}
	return nil
}

func ofConnector(name string) string { return "io.confluent.csid.connect.connector=" + name }

// identities are the UID and the restarts of each pod by its name: they differ for one that was disturbed.
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

// changed are the names of pods that differ, in a line.
func changed(before, after map[string]string) []string {
	var names []string
	for name, id := range before {
		if after[name] != id {
			names = append(names, name)
		}
	}
	return names
}

func oneLine(s string, most int) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
