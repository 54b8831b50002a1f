package spec_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/spec"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decidetest"
)

func podTemplate(pod connectv1.PodTemplate) *connectv1.TemplateSpec {
	return &connectv1.TemplateSpec{WorkloadTemplate: connectv1.WorkloadTemplate{Pod: &pod}}
}

func hostPath() *connectv1.TemplateSpec {
	return podTemplate(connectv1.PodTemplate{Volumes: []corev1.Volume{{
		Name: "root", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}},
	}}})
}

func TestTemplatesThatReachTheNodeAreRejectedAndRunningPodsStay(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change  func(*connectv1.KafkaConnectorSpec)
		message string
	}{
		"a volume of type hostPath": {
			func(s *connectv1.KafkaConnectorSpec) { s.Template = hostPath() },
			"spec.template.connector.pod.volumes (or the template for all pods): volume root has the type hostPath; " +
				"allowed types: secret, configMap, emptyDir, persistentVolumeClaim, csi, image",
		},
		"pods that run on the Windows host": {
			func(s *connectv1.KafkaConnectorSpec) {
				s.Template = podTemplate(connectv1.PodTemplate{SecurityContext: &corev1.PodSecurityContext{
					WindowsOptions: &corev1.WindowsSecurityContextOptions{HostProcess: ptr.To(true)},
				}})
			},
			"spec.template.connector.pod.securityContext.windowsOptions.hostProcess (or the template for all pods) is " +
				"true: such pods run on the host; remove it",
		},
		"external IPs": {
			func(s *connectv1.KafkaConnectorSpec) {
				s.Task.ServiceSpec = &corev1.ServiceSpec{ExternalIPs: []string{"192.0.2.1"}}
			},
			"spec.task.serviceSpec.externalIPs 192.0.2.1: external IPs can redirect the traffic of other Services; " +
				"remove them or use type LoadBalancer",
		},
		"an external name": {
			func(s *connectv1.KafkaConnectorSpec) {
				s.Connector.ServiceSpec = &corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName}
			},
			"spec.connector.serviceSpec.type ExternalName: use ClusterIP, NodePort or LoadBalancer",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := decidetest.Running(t, decidetest.Connector(), "aaaa", "bbbb", "cccc")
			test.change(&s.State.Connector.Spec)
			plan := s.Step()
			valid := decidetest.Condition(t, plan.Status.Conditions, connectv1.ConditionConfigValid)
			require.Equal(t, test.message, valid.Message)
			require.Equal(t, connectv1.ReasonTemplateNotAllowed, valid.Reason)
			require.Equal(t, metav1.ConditionFalse, valid.Status)
			require.Empty(t, plan.Restarts)
			require.EqualValues(t, 3, plan.Status.TasksReady)
		})
	}
}

func TestAnAdministratorCanAllowOtherVolumeTypes(t *testing.T) {
	t.Parallel()
	s := decidetest.Running(t, decidetest.Connector(), "aaaa")
	s.State.Settings.AllowedVolumeTypes = []string{"hostPath"}
	s.State.Connector.Spec.Template = hostPath()
	plan := s.Step()
	valid := decidetest.Condition(t, plan.Status.Conditions, connectv1.ConditionConfigValid)
	require.Equal(t, connectv1.ReasonAccepted, valid.Reason, valid.Message)
}

func TestTheVolumeTypesOfTheFlagMustExist(t *testing.T) {
	t.Parallel()
	require.NoError(t, spec.ValidateVolumeTypes(spec.DefaultAllowedVolumeTypes()))
	require.NoError(t, spec.ValidateVolumeTypes([]string{"nfs", "projected"}))
	require.ErrorContains(t, spec.ValidateVolumeTypes([]string{"secret", "hostpath"}), `"hostpath" is not a volume type`)
}
