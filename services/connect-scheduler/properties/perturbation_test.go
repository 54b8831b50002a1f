// Package properties shows what every controller is held to: the same end whatever happens on the way, every property changed
// forth and back, nothing done at rest, and no right unused.
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
	"github.com/weir-dev/weir/services/connect-scheduler/internal/rig"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var (
	install sync.Once
	account *rest.Config
	errUp   error
)

// controlPlane is shared by all scenarios; a fake runner is at work on it, and connect-scheduler is not.
func controlPlane(t *testing.T) *testkit.ControlPlane {
	t.Helper()
	cp := testkit.Shared(t)
	install.Do(func() {
		if account, errUp = rig.Install(context.Background(), cp); errUp == nil {
			go func() {
				if err := rig.FakeRunner(context.Background(), cp.RESTConfig()); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}()
		}
	})
	if errUp != nil {
		t.Fatal(errUp)
	}
	return cp
}

// subject is connect-scheduler under its own rights, and all the objects that it answers for.
func subject() perturb.Subject {
	resource := func(group, version, resource string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: group, Version: version, Resource: resource}
	}
	return perturb.Subject{
		Identity: func(context.Context, env.Env) (*rest.Config, error) { return rest.CopyConfig(account), nil },
		Service: func(ctx context.Context, config *rest.Config, namespace string) error {
			return rig.Service(ctx, config, rig.Options{Namespace: namespace})
		},
		Compare: snapshot.Namespaced(
			resource("io.confluent.csid", "v1", "kafkaconnectors"), resource("io.confluent.csid", "v1", "kafkaconnects"),
			resource("apps", "v1", "statefulsets"), resource("policy", "v1", "poddisruptionbudgets"),
			resource("rbac.authorization.k8s.io", "v1", "roles"), resource("rbac.authorization.k8s.io", "v1", "rolebindings"),
			resource("", "v1", "configmaps"), resource("", "v1", "secrets"), resource("", "v1", "serviceaccounts"),
			resource("", "v1", "services"), resource("", "v1", "persistentvolumeclaims"), resource("", "v1", "pods"),
		),
		Normalize: []snapshot.Normalizer{revisions},
	}
}

// revisions of a StatefulSet, the nodes of pods and the times at which tasks entered their states tell of the way, not of its
// end. So do the hashes of other tasks' configs that a pod was made with: it stays when those change.
func revisions(o *unstructured.Unstructured) {
	switch o.GetKind() {
	case "StatefulSet":
		for _, field := range []string{"currentRevision", "updateRevision", "collisionCount", "currentReplicas", "updatedReplicas"} {
			unstructured.RemoveNestedField(o.Object, "status", field)
		}
	case "Pod":
		unstructured.RemoveNestedField(o.Object, "metadata", "labels", "controller-revision-hash")
		annotations, index := o.GetAnnotations(), o.GetLabels()["apps.kubernetes.io/pod-index"]
		if hashes := strings.Split(annotations[contract.AnnotationTaskHashes], ","); index != "" && annotations[contract.AnnotationTaskHashes] != "" {
			id, _ := strconv.Atoi(index)
			annotations[contract.AnnotationTaskHashes] = hashes[id]
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

func applyFile(file string) perturb.Step { return perturb.Apply("apply "+file, rig.Example(file)) }

// patch is the step of a merge patch of the connector.
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

// settled is the step of waiting until the connector is where its spec wants it.
func settled(state, summary string) perturb.Step {
	return perturb.Step{Name: "wait for " + state + " " + summary, Run: func(ctx context.Context, env perturb.Env) error {
		return testkit.Poll(ctx, state, func(ctx context.Context) error { return at(ctx, env, state, summary) })
	}}
}

func at(ctx context.Context, env perturb.Env, state, summary string) error {
	told, err := env.Kubectl(ctx, "get", "kctr", "test", "-n", env.Namespace, "-o",
		`jsonpath={.status.state} {.status.taskSummary} {.status.conditions[?(@.type=="Ready")].status} {.metadata.generation} {.status.observedGeneration}`)
	if err != nil {
		return err
	}
	var s, tasks, ready string
	var generation, observed int
	if _, err := fmt.Sscan(told, &s, &tasks, &ready, &generation, &observed); err != nil {
		return fmt.Errorf("status is %q", told)
	}
	if s != state || tasks != summary || ready != "True" || generation != observed {
		return fmt.Errorf("status is %q", told)
	}
	return nil
}

func done(state, summary string) func(context.Context, perturb.Env) error {
	return func(ctx context.Context, env perturb.Env) error { return at(ctx, env, state, summary) }
}

func replay(t *testing.T, name string, end [2]string, steps ...perturb.Step) {
	t.Helper()
	perturb.Replay(t, controlPlane(t), perturb.Scenario{Name: name, Subject: subject(), Steps: steps, Done: done(end[0], end[1]), PauseDuration: time.Second})
}

func TestAConnectorComesToRun(t *testing.T) {
	replay(t, "a connector comes to run", [2]string{"Running", "3/3"},
		applyFile("worker-config.yaml"), perturb.Apply("apply the connector", connector))
}

func TestAChangeOfImageAndOfOneTaskRolls(t *testing.T) {
	replay(t, "a change rolls", [2]string{"Running", "3/3"},
		applyFile("worker-config.yaml"), perturb.Apply("apply the connector", connector), settled("Running", "3/3"),
		patch("change one task", `{"spec":{"connectorConfig":{"fake.task.1.table":"orders"}}}`),
		patch("change the image", `{"spec":{"task":{"image":"runner:2","serviceSpec":null}}}`))
}

func TestPauseScaleAndRestart(t *testing.T) {
	replay(t, "pause, scale, restart", [2]string{"Running", "2/2"},
		applyFile("worker-config.yaml"), perturb.Apply("apply the connector", connector), settled("Running", "3/3"),
		patch("stop", `{"spec":{"state":"stopped"}}`), settled("Stopped", "0/0"),
		patch("run with two", `{"spec":{"state":"running","tasksMax":2}}`), settled("Running", "2/2"),
		kubectl("ask for a restart", "annotate", "kctr/test", "strimzi.io/restart-task=1"))
}

func TestDeletedAndMadeAgain(t *testing.T) {
	replay(t, "deleted and made again", [2]string{"Running", "3/3"},
		applyFile("worker-config.yaml"), perturb.Apply("apply the connector", connector), settled("Running", "3/3"),
		kubectl("delete", "delete", "kctr/test", "--wait=true"),
		perturb.Apply("apply the connector again", connector))
}
