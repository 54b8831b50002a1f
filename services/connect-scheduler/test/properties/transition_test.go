package properties

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/weir-dev/weir/pkg/testkit/transition"
	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

func TestConnectorFieldsCanBeChangedAndReverted(t *testing.T) {
	t.Parallel()
	base := testenv.Example("worker-config.yaml") + "\n---\n" + testenv.Example("templates.yaml")
	transition.Run(t, controlPlane(t), plan(base), []transition.Change{
		{Name: "other image", Patch: `{spec: {task: {image: "runner:2"}}}`, Valid: true},
		{Name: "other requests", Patch: `{spec: {task: {requests: {memory: 2Gi}, limits: {memory: 2Gi}}}}`, Valid: true},
		{Name: "no Service", Patch: `{spec: {task: {serviceSpec: null}}}`, Valid: true},
		{Name: "other port", Patch: `{spec: {task: {serviceSpec: {ports: [{name: syslog, port: 5455}]}}}}`, Valid: true},
		{Name: "more tasks", Patch: `{spec: {tasksMax: 5}}`, Valid: true},
		{Name: "fewer tasks", Patch: `{spec: {tasksMax: 1}}`, Valid: true},
		{Name: "tasks.max of the config", Patch: `{spec: {tasksMax: null}}`, Valid: true},
		{Name: "paused", Patch: `{spec: {state: paused}}`, Valid: true},
		{Name: "other config", Patch: `{spec: {connectorConfig: {topic: other}}}`, Valid: true},
		{Name: "other log level", Patch: `{spec: {loggingConfig: {defaultLoggerLevel: WARN}}}`, Valid: true},
		{Name: "no plugin", Patch: `{spec: {plugins: null}}`, Valid: true},
		{Name: "other label", Patch: `{metadata: {labels: {team: other}}}`, Valid: true},
		{
			Name:  "a longer grace period",
			Patch: `{spec: {template: {pod: {terminationGracePeriodSeconds: 120}}}}`,
			Valid: true,
		},
		{Name: "no tolerations", Patch: `{spec: {template: {task: {pod: null}}}}`, Valid: true},
		{Name: "other maxUnavailable", Patch: `{spec: {maxUnavailable: 100%}}`, Valid: true},
		{Name: "no image", Patch: `{spec: {task: {image: null}}}`},
		{Name: "a worker Secret that does not exist", Patch: `{spec: {workerConfigSecret: {name: nowhere}}}`},
		{Name: "a KafkaConnect that does not exist", Patch: `{spec: {connectRef: {name: nowhere}}}`},
		{Name: "negative tasksMax", Patch: `{spec: {tasksMax: -1}}`},
		{Name: "a reserved variable", Patch: `{spec: {template: {container: {env: [{name: TASK_ID, value: "0"}]}}}}`},
		{Name: "invalid node selector", Patch: `{spec: {template: {pod: {nodeSelector: {"not a label": x}}}}}`},
	})
}

func TestCsidSampleCanBeChangedAndReverted(t *testing.T) {
	t.Parallel()
	sample := testenv.Example("csid-sample.yaml")
	transition.Run(t, controlPlane(t), plan(testenv.Example("worker-config.yaml")+"\n---\n"+sample), []transition.Change{
		{Name: "other image", Patch: `{spec: {connector: {image: "runner:2"}}}`, Valid: true},
		{Name: "more memory", Patch: `{spec: {connector: {requests: {memory: 1G}}}}`, Valid: true},
		{Name: "other pull policy", Patch: `{spec: {imagePullPolicy: IfNotPresent}}`, Valid: true},
		{Name: "more tasks", Patch: `{spec: {connectorConfig: {tasks.max: "5"}}}`, Valid: true},
		{Name: "no plugins", Patch: `{spec: {downloadPlugins: null}}`, Valid: true},
		{Name: "no special log levels", Patch: `{spec: {loggingConfig: null}}`, Valid: true},
		{Name: "other label", Patch: `{metadata: {labels: {cost-center: other}}}`, Valid: true},
		{Name: "tasks.max is not a number", Patch: `{spec: {connectorConfig: {tasks.max: many}}}`},
		{Name: "no worker Secret", Patch: `{spec: {workerConfigSecret: null}}`},
	})
}

func TestConnectFieldsCanBeChangedAndReverted(t *testing.T) {
	t.Parallel()
	// The changes apply to the last object of the stream.
	connect, connectors, _ := strings.Cut(testenv.Example("shared-volume.yaml"), "\n---\n")
	changed := plan(testenv.Example("worker-config.yaml") + "\n---\n" + connectors + "\n---\n" + connect)
	changed.Done = func(o *unstructured.Unstructured) error {
		observed, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
		if observed != o.GetGeneration() {
			return fmt.Errorf("observedGeneration is %d, generation is %d", observed, o.GetGeneration())
		}
		return nil
	}
	transition.Run(t, controlPlane(t), changed, []transition.Change{
		{Name: "other image", Patch: `{spec: {image: "runner:2"}}`, Valid: true},
		{Name: "other mountPath", Patch: `{spec: {storage: {mountPath: /mnt/other}}}`, Valid: true},
		{Name: "deleted with its owner", Patch: `{spec: {storage: {deleteClaim: true}}}`, Valid: true},
		{Name: "no template", Patch: `{spec: {template: null}}`, Valid: true},
		{Name: "a log level", Patch: `{spec: {loggingConfig: {defaultLoggerLevel: WARN}}}`, Valid: true},
		{Name: "a mountPath that hides other files", Patch: `{spec: {storage: {mountPath: /tmp}}}`},
	})
}

func TestStorageFieldsCanBeChangedAndReverted(t *testing.T) {
	t.Parallel()
	base := testenv.Example(
		"worker-config.yaml",
	) + "\n---\n" + connector + "  storage: {size: 1Gi, mountPath: /mnt/shared}\n"
	transition.Run(t, controlPlane(t), plan(base), []transition.Change{
		{Name: "other mountPath", Patch: `{spec: {storage: {mountPath: /mnt/other}}}`, Valid: true},
		{Name: "a directory for each pod", Patch: `{spec: {storage: {subPath: "$(POD_NAME)"}}}`, Valid: true},
		{Name: "deleted with its owner", Patch: `{spec: {storage: {deleteClaim: true}}}`, Valid: true},
		{Name: "shrunk", Patch: `{spec: {storage: {size: 1Mi}}}`},
		{Name: "other class", Patch: `{spec: {storage: {class: other}}}`},
		{Name: "other access mode", Patch: `{spec: {storage: {accessMode: ReadWriteOnce}}}`},
	})
}

func plan(base string) transition.Plan {
	return transition.Plan{
		Subject: subject(),
		Base:    base,
		Done: func(o *unstructured.Unstructured) error {
			observed, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
			if observed != o.GetGeneration() {
				return fmt.Errorf("observedGeneration is %d, generation is %d", observed, o.GetGeneration())
			}
			if state, _, _ := unstructured.NestedString(o.Object, "status", "state"); state == "Pending" {
				if _, hasVolume, _ := unstructured.NestedMap(o.Object, "spec", "storage"); !hasVolume {
					return fmt.Errorf("state is %s", state)
				}
			}
			return condition(o, "ConfigValid", "True")
		},
		Reported: func(o *unstructured.Unstructured) error { return condition(o, "Ready", "False") },
	}
}

func condition(o *unstructured.Unstructured, kind, status string) error {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		if c := c.(map[string]any); c["type"] == kind && c["status"] == status {
			return nil
		}
	}
	return fmt.Errorf("condition %s is not %s: %v", kind, status, conditions)
}
