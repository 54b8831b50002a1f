package reconcile

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide"
)

func trimmed(t *testing.T, secret *corev1.Secret) *corev1.Secret {
	t.Helper()
	object, err := trimSecret(secret.DeepCopy())
	require.NoError(t, err)
	return object.(*corev1.Secret)
}

func TestSecretValuesDoNotStayInMemory(t *testing.T) {
	t.Parallel()
	secret := &corev1.Secret{Data: map[string][]byte{"worker.properties": []byte("password=hunter2")}}
	kept := trimmed(t, secret)
	require.NotContains(t, string(kept.Data["worker.properties"]), "hunter2")
	require.Equal(
		t,
		contract.TaskConfigHash(secret.Data["worker.properties"]),
		describe(kept).Keys["worker.properties"].Hash,
	)
	require.Equal(t, kept, trimmed(t, kept), "a cache may transform what it has transformed already")
}

func TestMetadataOfUnmanagedSecretsIsRemoved(t *testing.T) {
	t.Parallel()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Annotations:   map[string]string{"a": "b"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: decide.Manager}, {Manager: "connect-runner"}},
		},
	}
	require.Empty(t, trimmed(t, secret).Annotations)
	require.Empty(t, trimmed(t, secret).ManagedFields)
	secret.Labels = map[string]string{contract.LabelManagedBy: decide.Manager}
	require.Len(t, trimmed(t, secret).ManagedFields, 1, "the entry of connect-scheduler is kept")
}

func TestProblemsOfTaskConfigs(t *testing.T) {
	t.Parallel()
	const noObject = `is not a JSON object with the string maps connector and task`
	for name, test := range map[string]struct{ file, problem string }{
		"a good one":            {`{"connector":{"connector.class":"X"},"task":{"a":"b"}}`, ""},
		"a null value":          {`{"connector":{"connector.class":"X"},"task":{"a":null}}`, ""},
		"no task":               {`{"connector":{"connector.class":"X"}}`, noObject},
		"no common part":        {`{"common":"0123456789abcdef","task":{}}`, "needs key common.json.gz, which is missing"},
		"no JSON":               {`hunter2`, noObject},
		"cut off":               {`{"connector":{"connector.class":"X"`, noObject},
		"more behind it":        {`{"connector":{"connector.class":"X"}} {}`, noObject},
		"a number for a string": {`{"connector":{"connector.class":"X"},"task":{"a":1}}`, noObject},
		"a map too many":        {`{"connector":{"connector.class":"X"},"other":{}}`, noObject},
		"no class":              {`{"connector":{},"task":{}}`, `has no connector.class in its map connector`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			facts := describe(trimmed(t, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{
					Annotations: map[string]string{contract.AnnotationTaskCount: "1"},
					Labels:      map[string]string{contract.LabelManagedBy: decide.Manager},
				},
				Data: map[string][]byte{"task-0.json": []byte(test.file)},
			}))
			require.Equal(t, test.problem, facts.Keys["task-0.json"].Problem)
		})
	}
}

// An upgrade of connect-runner that changes the format of the Secret must not restart the tasks.
func TestTaskConfigsInTheCompactFormatHaveTheHashesOfThePlainFormat(t *testing.T) {
	t.Parallel()
	configs := []contract.TaskConfig{
		{Connector: map[string]string{"connector.class": "X"}, Task: map[string]*string{"id": new("0"), "nothing": nil}},
		{Connector: map[string]string{"connector.class": "X"}, Task: map[string]*string{"id": new("1"), "nothing": nil}},
	}
	plain, err := contract.EncodeTaskConfigs(configs)
	require.NoError(t, err)
	compact, err := contract.EncodeCompactTaskConfigs(configs)
	require.NoError(t, err)
	for _, encoded := range []contract.EncodedTaskConfigs{plain, compact} {
		facts := describe(trimmed(t, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Annotations: map[string]string{contract.AnnotationTaskCount: "2"},
				Labels:      map[string]string{contract.LabelManagedBy: decide.Manager},
			},
			Data: encoded.Data(),
		}))
		for id, hash := range plain.Hashes {
			require.Equal(t, hash, facts.Keys[contract.TaskConfigKey(id)].Hash)
		}
	}
}

// FuzzTaskConfigProblem: no bytes make it panic, and what it says of them quotes none of them.
func FuzzTaskConfigProblem(f *testing.F) {
	f.Add(`{"connector":{"connector.class":"X"},"task":{}}`)
	f.Add(`{"connector":`)
	f.Fuzz(func(t *testing.T, file string) {
		problem := string(describeTaskConfig(contract.NewTaskConfigReader(nil), []byte(file)))
		if len(file) > 12 && strings.Contains(problem, file) {
			t.Errorf("%q is quoted in %q", file, problem)
		}
	})
}
