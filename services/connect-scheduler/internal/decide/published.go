package decide

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/condition"
)

// taskSet is the set of task configs that the tasks should run with: their hashes, by id.
type taskSet struct {
	hashes []string
	// condition says whether it is what the connector published for the present configuration; while it is not, the set is
	// the one that the tasks run with already.
	condition metav1.Condition
	// exactlyOnce tells that former tasks have to be gone and fenced off before tasks run with another set.
	exactlyOnce bool
}

// published reads what the connector published. What cannot be used never touches tasks that run.
func published(s State, e effective) taskSet {
	last := running(s)
	not := func(reason, message string) taskSet {
		return taskSet{hashes: last, condition: condition.False(connectv1.ConditionTaskConfigsPublished, reason, message)}
	}
	secret := s.TaskConfigs
	if secret == nil || secret.Annotations[contract.AnnotationTaskCount] == "" {
		return not(connectv1.ReasonNotPublishedYet, "waiting for the connector to publish its task configs")
	}
	count, err := strconv.Atoi(secret.Annotations[contract.AnnotationTaskCount])
	if err != nil || count < 0 {
		return not(connectv1.ReasonTaskConfigsInconsistent, fmt.Sprintf("Secret %s: annotation %s is %q, not a number of tasks", TasksName(s.Connector.Name), contract.AnnotationTaskCount, secret.Annotations[contract.AnnotationTaskCount]))
	}
	if generation := secret.Annotations[contract.AnnotationGeneration]; generation != e.generation() {
		return not(connectv1.ReasonTaskConfigsOutdated, "waiting for the connector to publish task configs for its present configuration; those of the former one are still in use")
	}
	if count > e.tasksMax {
		return not(connectv1.ReasonTooManyTasks, fmt.Sprintf("the connector published %d task configs, but tasks.max is %d; raise tasks.max, or mend the connector", count, e.tasksMax))
	}
	hashes := make([]string, count)
	for id := range hashes {
		key := contract.TaskConfigKey(id)
		facts, ok := secret.Keys[key]
		if !ok {
			return not(connectv1.ReasonTaskConfigsInconsistent, fmt.Sprintf("Secret %s: key %s is missing, although %d task configs were published", TasksName(s.Connector.Name), key, count))
		}
		if facts.Problem != "" {
			return not(connectv1.ReasonTaskConfigInvalid, fmt.Sprintf("Secret %s: key %s %s", TasksName(s.Connector.Name), key, facts.Problem))
		}
		hashes[id] = facts.Hash
	}
	if hash := secret.Annotations[contract.AnnotationTaskConfigsHash]; hash != contract.TaskConfigsHash(hashes) {
		return not(connectv1.ReasonTaskConfigsInconsistent, fmt.Sprintf("Secret %s: the task configs are not those that annotation %s was made from; somebody else has changed one", TasksName(s.Connector.Name), contract.AnnotationTaskConfigsHash))
	}
	return taskSet{hashes, condition.True(connectv1.ConditionTaskConfigsPublished, connectv1.ReasonPublished, fmt.Sprintf("%d task configs", count)),
		secret.Annotations[contract.AnnotationExactlyOnce] == "true"}
}

// running are the hashes that the tasks' StatefulSet was last made with.
func running(s State) []string {
	if s.Live.TaskSet == nil || s.belongs(s.Live.TaskSet) != ours {
		return nil
	}
	return splitHashes(s.Live.TaskSet.Spec.Template.Annotations[contract.AnnotationTaskHashes])
}

func splitHashes(annotation string) []string {
	if annotation == "" {
		return nil
	}
	return slices.Clip(strings.Split(annotation, ","))
}
