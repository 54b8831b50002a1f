// Package properties tests the properties that every controller of Weir has: the same final objects after every
// perturbation, reversible changes of every field, no work while idle, and least RBAC.
package properties

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/env"
	"github.com/weir-dev/weir/pkg/testkit/perturb"
	"github.com/weir-dev/weir/pkg/testkit/snapshot"
	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var (
	install    sync.Once
	account    *rest.Config
	installErr error
)

// controlPlane returns the control plane of all scenarios. The fake connect-runner runs on it. connect-scheduler does
// not: each scenario runs its own.
func controlPlane(t *testing.T) *testkit.ControlPlane {
	t.Helper()
	cp := testkit.Shared(t)
	install.Do(func() {
		if account, installErr = testenv.Install(context.Background(), cp); installErr == nil {
			go func() {
				if err := testenv.RunFakeRunner(context.Background(), cp.RESTConfig()); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}()
		}
	})
	if installErr != nil {
		t.Fatal(installErr)
	}
	return cp
}

// subject is connect-scheduler under its own ServiceAccount, with the objects that it manages.
func subject() perturb.Subject {
	return perturb.Subject{
		Identity: func(context.Context, env.Env) (*rest.Config, error) { return rest.CopyConfig(account), nil },
		Service: func(ctx context.Context, config *rest.Config, namespace string) error {
			return testenv.Run(ctx, config, testenv.Options{Namespace: namespace})
		},
		Compare: snapshot.Namespaced(
			resource("io.confluent.csid", "kafkaconnectors"), resource("io.confluent.csid", "kafkaconnects"),
			resource("apps", "statefulsets"), resource("policy", "poddisruptionbudgets"),
			resource("rbac.authorization.k8s.io", "roles"), resource("rbac.authorization.k8s.io", "rolebindings"),
			resource("", "secrets"), resource("", "serviceaccounts"),
			resource("", "services"), resource("", "persistentvolumeclaims"), resource("", "pods"),
		),
		Normalize: []snapshot.Normalizer{dropHistory},
	}
}

func resource(group, name string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: group, Version: "v1", Resource: name}
}

// dropHistory removes the fields that depend on the order of events: the revisions of StatefulSets, the nodes of pods,
// the time of task states, the time and number of changes of task configs, and the hashes of other tasks' configs at
// the creation of a pod.
func dropHistory(o *unstructured.Unstructured) {
	switch o.GetKind() {
	case "StatefulSet":
		for _, field := range []string{
			"currentRevision", "updateRevision", "collisionCount", "currentReplicas", "updatedReplicas",
		} {
			unstructured.RemoveNestedField(o.Object, "status", field)
		}
		dropAnnotation(o, "weir.dev/task-configs-history")
	case "Pod":
		unstructured.RemoveNestedField(o.Object, "metadata", "labels", "controller-revision-hash")
		annotations, index := o.GetAnnotations(), o.GetLabels()["apps.kubernetes.io/pod-index"]
		if hashes := annotations[contract.AnnotationTaskHashes]; index != "" && hashes != "" {
			id, _ := strconv.Atoi(index)
			annotations[contract.AnnotationTaskHashes] = strings.Split(hashes, ",")[id]
			o.SetAnnotations(annotations)
		}
	case "KafkaConnector":
		tasks, _, _ := unstructured.NestedSlice(o.Object, "status", "tasks")
		for _, task := range tasks {
			delete(task.(map[string]any), "since")
			delete(task.(map[string]any), "node")
		}
		unstructured.RemoveNestedField(o.Object, "status", "connector", "node")
		if tasks != nil {
			_ = unstructured.SetNestedSlice(o.Object, tasks, "status", "tasks")
		}
	}
}

// dropAnnotation removes an annotation and its entry in the managed fields.
func dropAnnotation(o *unstructured.Unstructured, name string) {
	dropKey(o.Object, name, "metadata", "annotations")
	managers, _, _ := unstructured.NestedSlice(o.Object, "metadata", "managedFields")
	for _, manager := range managers {
		dropKey(manager.(map[string]any), "f:"+name, "fieldsV1", "f:metadata", "f:annotations")
	}
	if managers != nil {
		_ = unstructured.SetNestedSlice(o.Object, managers, "metadata", "managedFields")
	}
}

// dropKey removes a key of a map at a path, and the map if it is empty then.
func dropKey(object map[string]any, key string, path ...string) {
	unstructured.RemoveNestedField(object, append(slices.Clone(path), key)...)
	if rest, found, _ := unstructured.NestedMap(object, path...); found && len(rest) == 0 {
		unstructured.RemoveNestedField(object, path...)
	}
}

const connector = `
apiVersion: io.confluent.csid/v1
kind: KafkaConnector
metadata: {name: test, labels: {project: something}}
spec:
  connector: {image: "runner:1"}
  task: {image: "runner:1", serviceSpec: {ports: [{name: syslog, port: 5454}]}}
  workerConfigSecret: {name: worker-config}
  connectorConfig: {connector.class: FileStreamSource, tasks.max: "3"}
`

func applyFile(file string) perturb.Step {
	return perturb.Apply("apply "+file, testenv.Example(file))
}

// patch returns a step that merge-patches the connector.
func patch(what, body string) perturb.Step {
	return perturb.Step{Name: what, Run: func(ctx context.Context, env perturb.Env) error {
		_, err := env.Kubectl(ctx, "patch", "kctr", "test", "-n", env.Namespace, "--type=merge", "-p", body)
		return err
	}}
}

func kubectl(what string, args ...string) perturb.Step {
	return perturb.Step{Name: what, Run: func(ctx context.Context, env perturb.Env) error {
		_, err := env.Kubectl(ctx, append(slices.Clone(args), "-n", env.Namespace)...)
		return err
	}}
}

// waitFor returns a step that waits until the connector has this state and task summary.
func waitFor(state, summary string) perturb.Step {
	return perturb.Step{
		Name: "wait for " + state + " " + summary,
		Run: func(ctx context.Context, env perturb.Env) error {
			check := func(ctx context.Context) error { return hasState(ctx, env, state, summary) }
			return testkit.Poll(ctx, state, check)
		},
	}
}

// hasState returns an error unless the connector is Ready with this state and task summary.
func hasState(ctx context.Context, env perturb.Env, state, summary string) error {
	status, err := env.Kubectl(ctx, "get", "kctr", "test", "-n", env.Namespace, "-o",
		`jsonpath={.status.state} {.status.taskSummary} {.status.conditions[?(@.type=="Ready")].status}`+
			` {.metadata.generation} {.status.observedGeneration}`)
	if err != nil {
		return err
	}
	var s, tasks, ready string
	var generation, observed int
	if _, err := fmt.Sscan(status, &s, &tasks, &ready, &generation, &observed); err != nil {
		return fmt.Errorf("status is %q", status)
	}
	if s != state || tasks != summary || ready != "True" || generation != observed {
		return fmt.Errorf("status is %q", status)
	}
	return nil
}

func done(state, summary string) func(context.Context, perturb.Env) error {
	return func(ctx context.Context, env perturb.Env) error { return hasState(ctx, env, state, summary) }
}

func replay(t *testing.T, name string, end [2]string, steps ...perturb.Step) {
	t.Helper()
	scenario := perturb.Scenario{
		Name:          name,
		Subject:       subject(),
		Steps:         steps,
		Done:          done(end[0], end[1]),
		PauseDuration: time.Second,
	}
	perturb.Replay(t, controlPlane(t), scenario)
}

func TestConnectorStartsUnderPerturbation(t *testing.T) {
	replay(t, "a connector starts", [2]string{"Running", "3/3"},
		applyFile("worker-config.yaml"), perturb.Apply("apply the connector", connector))
}

func TestRolloutCompletesUnderPerturbation(t *testing.T) {
	replay(t, "a change rolls out", [2]string{"Running", "3/3"},
		applyFile("worker-config.yaml"), perturb.Apply("apply the connector", connector), waitFor("Running", "3/3"),
		patch("change one task", `{"spec":{"connectorConfig":{"fake.task.1.table":"orders"}}}`),
		patch("change the image", `{"spec":{"task":{"image":"runner:2","serviceSpec":null}}}`))
}

func TestStopScaleAndRestartUnderPerturbation(t *testing.T) {
	replay(t, "stop, scale, restart", [2]string{"Running", "2/2"},
		applyFile("worker-config.yaml"), perturb.Apply("apply the connector", connector), waitFor("Running", "3/3"),
		patch("stop", `{"spec":{"state":"stopped"}}`), waitFor("Stopped", "0/0"),
		patch("run with two tasks", `{"spec":{"state":"running","tasksMax":2}}`), waitFor("Running", "2/2"),
		kubectl("request a restart", "annotate", "kctr/test", "strimzi.io/restart-task=1"))
}

func TestRecreationUnderPerturbation(t *testing.T) {
	replay(t, "deleted and created again", [2]string{"Running", "3/3"},
		applyFile("worker-config.yaml"), perturb.Apply("apply the connector", connector), waitFor("Running", "3/3"),
		kubectl("delete", "delete", "kctr/test", "--wait=true"),
		perturb.Apply("apply the connector again", connector))
}
