package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/rig"
)

// patched is the manifest of a connector with a JSON merge patch over its spec, as YAML.
func patched(t *testing.T, name, spec string) string {
	t.Helper()
	var object unstructured.Unstructured
	require.NoError(t, yaml.Unmarshal([]byte(manifest(name, 1)), &object.Object))
	var patch map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(spec), &patch))
	merged := object.Object["spec"].(map[string]any)
	for key, value := range patch {
		if value == nil {
			delete(merged, key)
			continue
		}
		merged[key] = value
	}
	out, err := yaml.Marshal(object.Object)
	require.NoError(t, err)
	return string(out)
}

func TestTheAPIRefusesWhatCannotBeMeant(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	for name, test := range map[string]struct{ spec, says string }{
		"an unknown field":              {`taskMax: 3`, "field not declared in schema"},
		"a mistyped field":              {`connectorConfig: {connector.class: X, tasks.max: 3}`, "connectorConfig.tasks.max"},
		"an empty image":                {`task: {image: ""}`, "spec.task.image"},
		"no image at all":               {`task: {}`, "task.image is required: name the image that runs connect-runner, or a KafkaConnect that has one in connectRef"},
		"no worker Secret":              {`workerConfigSecret: null`, "workerConfigSecret.name is required: name the Secret that holds worker.properties"},
		"no connector.class":            {`connectorConfig: {topic: x}`, "connectorConfig needs connector.class, the class of the connector plugin"},
		"a negative tasks.max":          {`connectorConfig: {connector.class: X, tasks.max: "-1"}`, "tasks.max must be a whole number from 1 to 1000; to run no tasks set state: paused"},
		"a tasks.max of no number":      {`connectorConfig: {connector.class: X, tasks.max: many}`, "tasks.max must be a whole number from 1 to 1000"},
		"an absurd tasks.max":           {`connectorConfig: {connector.class: X, tasks.max: "1000000"}`, "tasks.max must be a whole number from 1 to 1000"},
		"a tasksMax of 0":               {`tasksMax: 0`, "tasksMax must be from 1 to 1000; to run no tasks set state: paused"},
		"another name in the config":    {`connectorConfig: {connector.class: X, name: other}`, "connectorConfig.name must be the same as metadata.name, or left out"},
		"a state that there is not":     {`state: resting`, `spec.state: Unsupported value: "resting"`},
		"an absurd maxUnavailable":      {`maxUnavailable: 150%`, "maxUnavailable must be a positive number or a percentage from 1% to 100%"},
		"a plugin from nowhere":         {`plugins: [{name: a}]`, "a plugin needs either image or url, and not both"},
		"a plugin without checksum":     {`plugins: [{name: a, url: "https://example.com/a.zip"}]`, "a plugin with url needs sha512"},
		"a hub coordinate of no form":   {`downloadPlugins: [datagen]`, "spec.downloadPlugins[0]"},
		"a log level that there is not": {`loggingConfig: {defaultLoggerLevel: LOUD}`, `Unsupported value: "LOUD"`},
		"storage without a size":        {`storage: {mountPath: /mnt/shared}`, "storage.size is required, for example 10Gi, unless existingClaim names a claim"},
		"storage of size 0":             {`storage: {size: "0"}`, "storage.size must be positive, for example 10Gi"},
		"a relative mountPath":          {`storage: {size: 1Gi, mountPath: data}`, "mountPath must be an absolute path below / without '..' or ':', for example /mnt/shared"},
		"a mountPath of /":              {`storage: {size: 1Gi, mountPath: /}`, "mountPath must be an absolute path below /"},
		"a mountPath over the image":    {`storage: {size: 1Gi, mountPath: /usr}`, "mountPath would hide files that the image needs; choose a directory of its own, for example /mnt/shared"},
		"a misspelt accessMode":         {`storage: {size: 1Gi, accessMode: ReadWriteLots}`, "accessMode must be ReadWriteMany, ReadWriteOnce or ReadOnlyMany"},
		"ReadWriteOncePod":              {`storage: {size: 1Gi, accessMode: ReadWriteOncePod}`, "accessMode ReadWriteOncePod lets only one pod use the volume, and a connector has at least two; use ReadWriteMany or ReadWriteOnce"},
		"storage beside connectRef":     {`{connectRef: {name: x}, storage: {size: 1Gi}}`, "storage and connectRef exclude each other: the volume is that of the KafkaConnect"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := *r
			in.T = t
			require.Contains(t, in.refused(patched(t, "test", test.spec)), test.says)
		})
	}
	t.Run("a name too long for what is derived from it", func(t *testing.T) {
		require.Contains(t, r.refused(manifest(strings.Repeat("a", 43), 1)), "metadata.name may have at most 42 characters")
	})
	t.Run("a name that is no host name", func(t *testing.T) {
		require.Contains(t, r.refused(manifest("a.b", 1)), "metadata.name may hold only lower case letters, digits and '-'")
	})
}

func TestTheLongestNameWorks(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.running(strings.Repeat("a", 42), 11)
	require.NotNil(t, r.pod(strings.Repeat("a", 42)+"-tasks-10"))
}

func TestAMissingWorkerSecretIsToldAndItsComingIsSeen(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.apply(manifest("test", 1))
	c := r.waitCondition("test", "ConfigValid", metav1.ConditionFalse, "WorkerSecretNotFound")
	require.Contains(t, c.Message, `spec.workerConfigSecret.name "worker-config"`)
	r.waitEvent("WorkerSecretNotFound", c.Message)
	require.Empty(t, r.uids(), "no pod waits for what is not there")

	r.apply("apiVersion: v1\nkind: Secret\nmetadata: {name: worker-config}\nstringData: {worker.config: a=b}\n")
	r.waitCondition("test", "ConfigValid", metav1.ConditionFalse, "WorkerKeyMissing")
	r.worker()
	r.waitReady("test", 1)
}

func TestANewWorkerConfigRestartsAll(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.running("test", 1)
	before := r.uids()
	r.apply("apiVersion: v1\nkind: Secret\nmetadata: {name: worker-config}\nstringData: {worker.properties: bootstrap.servers=elsewhere:9092}\n")
	r.waitFor("test", func(*connectv1.KafkaConnector) error {
		if got := r.restarted(before); len(got) != 2 {
			return fmt.Errorf("restarted: %v", got)
		}
		return nil
	})
	r.waitReady("test", 1)
}

func TestTaskConfigsThatCannotBeUsedLeaveTheTasksAlone(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.running("test", 2)
	before := r.uids()
	r.merge("test", `{"spec":{"connectorConfig":{"fake.raw":"[1, 2]"}}}`)
	c := r.waitCondition("test", "TaskConfigsPublished", metav1.ConditionFalse, "TaskConfigInvalid")
	require.Equal(t, `Secret test-tasks: key task-0.json is no JSON object of two maps of strings, "connector" and "task"`, c.Message)
	r.merge("test", `{"spec":{"connectorConfig":{"fake.raw":null,"fake.tasks":"7"}}}`)
	c = r.waitCondition("test", "TaskConfigsPublished", metav1.ConditionFalse, "TooManyTasks")
	require.Equal(t, "the connector published 7 task configs, but tasks.max is 2; raise tasks.max, or mend the connector", c.Message)
	require.NotContains(t, r.restarted(before), "test-tasks-0")
	require.NotContains(t, r.restarted(before), "test-tasks-1")
	r.merge("test", `{"spec":{"connectorConfig":{"fake.tasks":null}}}`)
	r.waitReady("test", 2)
	require.Equal(t, []string{"test-connector-0"}, r.restarted(before), "the tasks have never changed")
}

func TestTaskConfigsThatSomebodyElseHasChangedAreNotUsed(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.running("test", 1)
	before := r.uids()
	_, err := r.cp.Kubectl(t.Context(), "patch", "secret", "test-tasks", "-n", r.namespace, "--type=merge", "-p", `{"stringData":{"task-0.json":"{\"connector\":{\"connector.class\":\"Evil\"},\"task\":{}}"}}`)
	require.NoError(t, err)
	r.waitCondition("test", "TaskConfigsPublished", metav1.ConditionFalse, "Torn")
	require.Empty(t, r.restarted(before))
}

func TestAnObjectOfSomebodyElseIsLeftAloneAndItsGoingIsSeen(t *testing.T) {
	t.Parallel()
	for kind, theirs := range map[string]string{
		"Secret":      "apiVersion: v1\nkind: Secret\nmetadata: {name: test-tasks}\nstringData: {mine: precious}\n",
		"ConfigMap":   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: test-connector}\ndata: {mine: precious}\n",
		"StatefulSet": "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: test-tasks}\nspec: {replicas: 0, serviceName: x, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: c}]}}}\n",
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := setUp(t)
			r.worker()
			r.apply(theirs)
			r.apply(manifest("test", 1))
			c := r.waitCondition("test", "ConfigValid", metav1.ConditionFalse, "NameTaken")
			require.Contains(t, c.Message, kind+" test-")
			name := strings.Fields(c.Message)[1]
			still, err := r.cp.Kubectl(t.Context(), "get", kind, name, "-n", r.namespace, "-o", "yaml")
			require.NoError(t, err)
			require.NotContains(t, still, "connect-scheduler")
			_, err = r.cp.Kubectl(t.Context(), "delete", kind, name, "-n", r.namespace)
			require.NoError(t, err)
			r.waitReady("test", 1)
		})
	}
}

func TestWhatTheAPIRefusesIsToldAndNotRepeatedHot(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.worker()
	r.apply(patched(t, "test", `template: {pod: {nodeSelector: {"not a label": x}}}`))
	c := r.waitCondition("test", "Ready", metav1.ConditionFalse, "ApplyRejected")
	require.Contains(t, c.Message, "apply StatefulSet test-connector")
	require.Contains(t, c.Message, "not a label")
	version := r.connector("test").ResourceVersion
	r.merge("test", `{"spec":{"template":{"pod":{"nodeSelector":{"not a label":null,"disk":null}}}}}`)
	r.waitReady("test", 1)
	require.NotEqual(t, version, r.connector("test").ResourceVersion)
}

func TestARecreatedConnectorWaitsForWhatItsPredecessorLeft(t *testing.T) {
	t.Parallel()
	r := setUp(t)
	r.running("test", 2)
	before := r.connector("test").UID
	_, err := r.cp.Kubectl(t.Context(), "delete", "kctr", "test", "-n", r.namespace, "--wait=true")
	require.NoError(t, err)
	r.apply(manifest("test", 3))
	r.waitReady("test", 3)
	set, err := r.cp.Client().AppsV1().StatefulSets(r.namespace).Get(t.Context(), "test-tasks", metav1.GetOptions{})
	require.NoError(t, err)
	require.NotEqual(t, before, set.OwnerReferences[0].UID)
}

func TestEveryExampleRuns(t *testing.T) {
	t.Parallel()
	// The tasks of its connectors; the shared volume's pods wait for a volume, which nobody provides here.
	comesTo := map[string]map[string]int32{
		"worker-config.yaml": {},
		"seed-001.yaml":      {"test": 3},
		"templates.yaml":     {"syslog": 2},
		"shared-volume.yaml": {"orders-to-file": 0, "file-to-archive": 0},
	}
	for _, file := range rig.Examples() {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			connectors, known := comesTo[file]
			require.True(t, known, "this test does not say what comes of it")
			r := setUp(t)
			r.worker()
			r.apply(strings.ReplaceAll(rig.Example(file), "  namespace: kafka-connect-poc\n", ""))
			for name, tasks := range connectors {
				r.waitFor(name, func(c *connectv1.KafkaConnector) error {
					if c.Status.TasksReady != tasks {
						return fmt.Errorf("tasks are %s: %v", c.Status.TaskSummary, c.Status.Conditions)
					}
					return is(c.Status.Conditions, "ConfigValid", metav1.ConditionTrue, "")
				})
			}
		})
	}
}
