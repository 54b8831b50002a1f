package decide

import (
	"fmt"
	"slices"
	"time"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
)

// Unit is the connector itself or one of its tasks.
type Unit struct {
	// Name in messages: "the connector" or "task 3".
	Name string
	// Pod that runs it.
	Pod string
	// State in KafkaConnector.status.
	State connectv1.PodState
	// Restarts of the container in this pod.
	Restarts int32
}

// starting reports whether the unit is expected to run soon. A unit that failed or that restarted is not: to wait for
// it would block drains until a user repairs it.
func (u Unit) starting() bool {
	return u.State != connectv1.PodRunning && u.State != connectv1.PodFailed && u.Restarts == 0
}

// Connector is the part of a KafkaConnector that decisions depend on.
type Connector struct {
	Namespace, Name string
	// Units in its status.
	Units []Unit
}

// Running reports whether the unit of the pod runs.
func (c *Connector) Running(pod string) bool {
	return slices.ContainsFunc(c.Units, func(u Unit) bool { return u.Pod == pod && u.State == connectv1.PodRunning })
}

// connectorNeedsPod denies while another pod of the connector starts.
func connectorNeedsPod(s State, p *drainv1alpha1.KafkaDrainPolicy, _ time.Time) (Decision, bool) {
	if p.Spec.Role != drainv1alpha1.RoleConnect {
		return pass()
	}
	connector := s.Connector.Value()
	switch {
	case !s.Connector.Read():
		return need(NeedConnector)
	case s.Connector.Failed():
		return s.Connector.denial()
	case connector == nil || len(connector.Units) == 0:
		return deny(drainv1alpha1.ReasonConnectorUnknown, "the pod has no KafkaConnector, or that has no status yet")
	}
	var starting []string
	for _, unit := range connector.Units {
		if unit.Pod != s.Pod.Value().Name && unit.starting() {
			starting = append(starting, fmt.Sprintf("%s is %s", unit.Name, unit.State))
		}
	}
	if len(starting) == 0 {
		return pass()
	}
	slices.Sort(starting)
	return deny(drainv1alpha1.ReasonTaskUnavailable,
		fmt.Sprintf("KafkaConnector %s has pods that are starting: %s", connector.Name, list(starting)))
}
