package decide

import (
	"fmt"
	"slices"
	"time"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
)

// unitRunning is the state of a connector or task that does its work (KafkaConnector.status).
const unitRunning = "Running"

// Unit is the connector itself, or one of its tasks.
type Unit struct {
	// Name for people: connector, or task 3.
	Name string
	// Pod that runs it.
	Pod   string
	State string
}

// Connector is what has to be known of a KafkaConnector.
type Connector struct {
	Namespace, Name string
	// Units that its status lists.
	Units []Unit
}

func connectorFeelsIt(s State, p *drainv1alpha1.KafkaDrainPolicy, _ time.Time) (Decision, bool) {
	if p.Spec.Role != drainv1alpha1.RoleConnect {
		return next, false
	}
	switch {
	case !s.Known[NeedConnector]:
		return need(NeedConnector)
	case s.Failure != "":
		return deny(LookupFailed, s.Failure)
	case s.Connector == nil || len(s.Connector.Units) == 0:
		return deny(ConnectorUnknown, "there is no KafkaConnector for the pod, or it has no status yet")
	}
	var elsewhere []string
	for _, unit := range s.Connector.Units {
		if unit.Pod != s.Pod.Name && unit.State != unitRunning {
			elsewhere = append(elsewhere, fmt.Sprintf("%s is %s", unit.Name, unit.State))
		}
	}
	if len(elsewhere) == 0 {
		return next, false
	}
	slices.Sort(elsewhere)
	return deny(TaskUnavailable, fmt.Sprintf("KafkaConnector %s is not whole: %s", s.Connector.Name, list(elsewhere)))
}

// Running tells whether the unit that a pod of that name runs does its work.
func (c *Connector) Running(pod string) bool {
	return slices.ContainsFunc(c.Units, func(u Unit) bool { return u.Pod == pod && u.State == unitRunning })
}
