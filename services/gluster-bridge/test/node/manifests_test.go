//go:build linux

package node

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// manifests: only the deletion of its pod ends the clients of a node. Both processes see the same mounts.
func manifests(t *testing.T, e *env) {
	kube := e.ControlPlane.Client()
	clients, err := kube.AppsV1().DaemonSets("weir-node").Get(t.Context(), "gluster-bridge-clients", metav1.GetOptions{})
	require.NoError(t, err)
	node, err := kube.AppsV1().DaemonSets("weir-node").Get(t.Context(), "gluster-bridge-node", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, appsv1.OnDeleteDaemonSetStrategyType, clients.Spec.UpdateStrategy.Type)
	pod, c := clients.Spec.Template.Spec, clients.Spec.Template.Spec.Containers[0]
	require.Equal(t, "system-node-critical", pod.PriorityClassName, "kubelet does not evict it")
	require.Empty(t, c.Resources.Limits)
	require.Nil(t, c.LivenessProbe)
	require.False(t, *pod.AutomountServiceAccountToken)
	require.False(t, pod.HostPID || pod.HostNetwork || pod.HostIPC)
	require.True(t, node.Spec.Template.Spec.HostPID)

	// A directory has the same path on the node and in both containers.
	directory := argument(t, c, "--mount-directory")
	require.Equal(t, directory, argument(t, node.Spec.Template.Spec.Containers[0], "--mount-directory"))
	for name, pod := range map[string]corev1.PodSpec{"clients": pod, "node": node.Spec.Template.Spec} {
		i := slices.IndexFunc(pod.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool {
			return strings.HasPrefix(directory, m.MountPath+"/")
		})
		require.GreaterOrEqual(t, i, 0, name)
		mount := pod.Containers[0].VolumeMounts[i]
		require.Equal(t, corev1.MountPropagationBidirectional, *mount.MountPropagation, name)
		require.Equal(t, mount.MountPath, hostPath(t, pod, mount.Name), name)
	}
	socket := argument(t, node.Spec.Template.Spec.Containers[0], "--clients-socket")
	require.Equal(t, argument(t, c, "--socket"),
		strings.Replace(socket, "/csi/", hostPath(t, node.Spec.Template.Spec, "plugin")+"/", 1))

	bindings, err := kube.RbacV1().ClusterRoleBindings().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for _, b := range bindings.Items {
		for _, subject := range b.Subjects {
			require.NotEqual(t, pod.ServiceAccountName, subject.Name, "the clients need no rights: %s", b.Name)
		}
	}
}

func argument(t *testing.T, c corev1.Container, flag string) string {
	t.Helper()
	for _, a := range c.Args {
		if value, found := strings.CutPrefix(a, flag+"="); found {
			return value
		}
	}
	require.Fail(t, flag+" is missing")
	return ""
}

func hostPath(t *testing.T, pod corev1.PodSpec, volume string) string {
	t.Helper()
	for _, v := range pod.Volumes {
		if v.Name == volume {
			return v.HostPath.Path
		}
	}
	require.Fail(t, "volume "+volume+" is missing")
	return ""
}
