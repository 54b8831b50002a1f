package rollout

import (
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/desired"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
)

// waitsForVolume reports whether a task keeps its pod until the connector's pod is ready with the desired claim. If the
// claim cannot be mounted, the tasks keep running with the previous claim.
func waitsForVolume(s observed.State, e spec.Effective, pod *observed.Pod) bool {
	want := desired.ClaimLabel(e.Volume)
	if want == "" || pod.Labels[desired.LabelClaim] == want {
		return false
	}
	first := s.Pods.Connector
	return first == nil || first.Labels[desired.LabelClaim] != want || !first.Ready
}
