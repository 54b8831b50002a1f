package integration

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/services/connect-scheduler/test/testenv"
)

// invalidSpecs are specs that the CRD rejects. spec is merged into a valid spec; message is part of the API server's
// error.
var invalidSpecs = []struct{ name, spec, message string }{
	{"unknown field", `taskMax: 3`, "field not declared in schema"},
	{"number in connectorConfig", `connectorConfig: {connector.class: X, tasks.max: 3}`, "connectorConfig.tasks.max"},
	{"empty image", `task: {image: ""}`, "spec.task.image"},
	{"image with a space", `task: {image: "foo bar:1"}`,
		"image 'foo bar:1' is not a valid reference; set it in the form registry/name:tag or registry/name@digest"},
	{"image in upper case", `connector: {image: "example.com/Runner:1"}`, "image 'example.com/Runner:1' is not a valid"},
	{"plugin with two tags", `plugins: [{name: a, image: "a:1:2"}]`, "image 'a:1:2' is not a valid reference"},
	{"image with a placeholder", `task: {image: "${IMAGE}"}`, "image '${IMAGE}' is not a valid reference"},
	{"no image", `task: {}`, "task.image is required"},
	{"no worker Secret", `workerConfigSecret: null`, "workerConfigSecret.name is required"},
	{"no connector.class", `connectorConfig: {topic: x}`, "connectorConfig needs connector.class"},
	{"negative tasks.max", `connectorConfig: {connector.class: X, tasks.max: "-1"}`,
		"tasks.max must be a whole number from 1 to 1000; to run no tasks set state: paused"},
	{"tasks.max is not a number", `connectorConfig: {connector.class: X, tasks.max: many}`,
		"tasks.max must be a whole number from 1 to 1000"},
	{"tasks.max too large", `connectorConfig: {connector.class: X, tasks.max: "1000000"}`,
		"tasks.max must be a whole number from 1 to 1000"},
	{"tasksMax of 0", `tasksMax: 0`, "tasksMax must be from 1 to 1000; to run no tasks set state: paused"},
	{"other name in connectorConfig", `connectorConfig: {connector.class: X, name: other}`,
		"connectorConfig.name must be the same as metadata.name"},
	{"unknown state", `state: resting`, `spec.state: Unsupported value: "resting"`},
	{"maxUnavailable over 100%", `maxUnavailable: 150%`,
		"maxUnavailable must be a positive number or a percentage from 1% to 100%"},
	{"plugin without source", `plugins: [{name: a}]`, "a plugin needs either image or url"},
	{
		"plugin without checksum",
		`plugins: [{name: a, url: "https://example.com/a.zip"}]`,
		"a plugin with url needs sha512",
	},
	{"invalid hub coordinate", `downloadPlugins: [datagen]`, "spec.downloadPlugins[0]"},
	{"unknown log level", `loggingConfig: {defaultLoggerLevel: LOUD}`, `Unsupported value: "LOUD"`},
	{"storage without size", `storage: {mountPath: /mnt/shared}`, "storage.size is required"},
	{"storage of size 0", `storage: {size: "0"}`, "storage.size must be positive"},
	{"relative mountPath", `storage: {size: 1Gi, mountPath: data}`, "mountPath must be an absolute path"},
	{"mountPath /", `storage: {size: 1Gi, mountPath: /}`, "mountPath must be an absolute path below /"},
	{
		"mountPath of the image",
		`storage: {size: 1Gi, mountPath: /usr}`,
		"mountPath would hide files that the image needs",
	},
	{"unknown accessMode", `storage: {size: 1Gi, accessMode: ReadWriteLots}`,
		"accessMode must be ReadWriteMany, ReadWriteOnce or ReadOnlyMany"},
	{"ReadWriteOncePod", `storage: {size: 1Gi, accessMode: ReadWriteOncePod}`,
		"accessMode ReadWriteOncePod lets only one pod use the volume"},
	{
		"storage and connectRef",
		`{connectRef: {name: x}, storage: {size: 1Gi}}`,
		"storage and connectRef exclude each other",
	},
}

func TestAPIServerRejectsInvalidSpecs(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	for _, test := range invalidSpecs {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, env.In(t).ApplyError(testenv.ManifestWith("test", test.spec)), test.message)
		})
	}
}

func TestAPIServerRejectsInvalidNames(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	long := env.ApplyError(testenv.Manifest(strings.Repeat("a", 43), 1))
	require.Contains(t, long, "metadata.name may have at most 42 characters")
	dotted := env.ApplyError(testenv.Manifest("a.b", 1))
	require.Contains(t, dotted, "metadata.name may hold only lower case letters, digits and '-'")
}

func TestLongestNameRuns(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.StartConnector(strings.Repeat("a", 42), 11)
	require.NotNil(t, env.Pod(strings.Repeat("a", 42)+"-tasks-10"))
}

func TestMissingWorkerSecretIsReportedAndItsCreationStartsTheConnector(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.Apply(testenv.Manifest("test", 1))
	c := env.WaitCondition("test", "ConfigValid", metav1.ConditionFalse, "WorkerSecretNotFound")
	require.Contains(t, c.Message, `spec.workerConfigSecret.name "worker-config"`)
	env.WaitEvent("WorkerSecretNotFound", c.Message)
	require.Empty(t, env.PodUIDs(), "no pod waits for a missing Secret")

	env.Apply("apiVersion: v1\nkind: Secret\nmetadata: {name: worker-config}\nstringData: {worker.config: a=b}\n")
	env.WaitCondition("test", "ConfigValid", metav1.ConditionFalse, "WorkerKeyMissing")
	env.ApplyWorkerConfig()
	env.WaitReady("test", 1)
}

func TestObjectThatTheAPIServerRejectsIsReported(t *testing.T) {
	t.Parallel()
	env := testenv.New(t)
	env.ApplyWorkerConfig()
	env.Apply(testenv.ManifestWith("test", `template: {pod: {nodeSelector: {"not a label": x}}}`))
	c := env.WaitCondition("test", "Ready", metav1.ConditionFalse, "ApplyRejected")
	require.Contains(t, c.Message, "apply StatefulSet test-connector")
	require.Contains(t, c.Message, "not a label")
	env.Patch("test", `{"spec":{"template":{"pod":{"nodeSelector":{"not a label":null,"disk":null}}}}}`)
	env.WaitReady("test", 1)
}
