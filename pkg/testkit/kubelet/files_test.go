//go:build linux

package kubelet_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/weir-dev/weir/pkg/testkit"
)

func TestRootHasOnlyTheCapabilitiesOfItsContainer(t *testing.T) {
	t.Parallel()
	cp, node, namespace := start(t)
	for name, test := range map[string]struct {
		capabilities *corev1.Capabilities
		want         []string
	}{
		"default": {nil, []string{"chown", "chroot"}},
		"none":    {&corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}, nil},
		"chown": {&corev1.Capabilities{
			Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"CHOWN"},
		}, []string{"chown"}},
	} {
		p := pod(node, name, "shell", `cd /data; touch f; chown 1000 f && echo can chown; chroot / true && echo can chroot
mount -t tmpfs none /data && echo can mount; true`)
		p.Spec.RestartPolicy = corev1.RestartPolicyNever
		p.Spec.Volumes = []corev1.Volume{{
			Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}},
		}}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
		p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{
			RunAsUser: ptr.To[int64](0), Capabilities: test.capabilities,
		}
		create(t, cp, namespace, p)
		eventually(t, cp, namespace, name, phase(corev1.PodSucceeded))
		var can []string
		for line := range strings.Lines(node.Log(namespace, name, "main")) {
			if what, found := strings.CutPrefix(line, "can "); found {
				can = append(can, strings.TrimSpace(what))
			}
		}
		assert.Equal(t, test.want, can, name)
	}
}

func TestHostPathsAreThoseOfTheNodeAndHaveTheirType(t *testing.T) {
	t.Parallel()
	cp, node, namespace := start(t)
	host := func(name, path string, kind corev1.HostPathType) *corev1.Pod {
		p := pod(node, name, "shell", `cat /host/machine-id; exec sleep 60`)
		p.Spec.Volumes = []corev1.Volume{{Name: "host", VolumeSource: corev1.VolumeSource{
			HostPath: &corev1.HostPathVolumeSource{Path: path, Type: &kind}}}}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "host", MountPath: "/host", ReadOnly: true}}
		create(t, cp, namespace, p)
		return p
	}
	host("exists", "/etc", corev1.HostPathDirectory)
	host("missing", "/mnt/data", corev1.HostPathDirectory)
	eventually(t, cp, namespace, "exists", ready)
	id, err := os.ReadFile(filepath.Join(node.HostDir(), "etc", "machine-id"))
	require.NoError(t, err)
	testkit.Eventually(t, timeout, func(context.Context) error {
		if log := node.Log(namespace, "exists", "main"); log != string(id) {
			return fmt.Errorf("log %q", log)
		}
		return nil
	})
	eventually(t, cp, namespace, "missing", func(pod *corev1.Pod) bool {
		statuses := pod.Status.ContainerStatuses
		return len(statuses) > 0 && statuses[0].State.Waiting != nil &&
			strings.Contains(statuses[0].State.Waiting.Message, "/mnt/data is not a Directory")
	})
	require.NoError(t, os.MkdirAll(filepath.Join(node.HostDir(), "mnt", "data"), 0o755))
	eventually(t, cp, namespace, "missing", phase(corev1.PodRunning))
}

func TestChangedSecretsReachTheFilesOfRunningContainers(t *testing.T) {
	t.Parallel()
	cp, node, namespace := start(t)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "login"}, StringData: map[string]string{"user": "alice"}}
	secret, err := cp.Client().CoreV1().Secrets(namespace).Create(t.Context(), secret, metav1.CreateOptions{})
	require.NoError(t, err)
	p := pod(node, "watch", "shell", `until grep bob /login/user; do sleep 0.1; done; exec sleep 60`)
	p.Spec.Volumes = []corev1.Volume{{
		Name: "login", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "login"}},
	}}
	p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "login", MountPath: "/login"}}
	create(t, cp, namespace, p)
	eventually(t, cp, namespace, "watch", ready)
	secret.StringData = map[string]string{"user": "bob"}
	_, err = cp.Client().CoreV1().Secrets(namespace).Update(t.Context(), secret, metav1.UpdateOptions{})
	require.NoError(t, err)
	testkit.Eventually(t, timeout, func(context.Context) error {
		if log := node.Log(namespace, "watch", "main"); !strings.Contains(log, "bob") {
			return fmt.Errorf("log %q", log)
		}
		return nil
	})
}

func TestContainersGetTheirFilesUserAndEnvironment(t *testing.T) {
	t.Parallel()
	cp, node, namespace := start(t)
	_, err := cp.ApplyYAML(t.Context(), namespace, `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: blue, size: large}
---
apiVersion: v1
kind: Secret
metadata: {name: login}
stringData: {user: alice}
`)
	require.NoError(t, err)
	p := pod(node, "files", "shell", `id -u; echo "$COLOR $USER_NAME $BOTH"
cat /etc/weir/settings/shade /etc/weir/login /info/name
touch /root-file /etc/weir-kubelet-test 2>&1; touch /var/run/written && echo written; cat /info/labels
echo hello > /data/file; cat /data/file; grep -c . /var/run/secrets/kubernetes.io/serviceaccount/token; hostname`)
	p.Spec.RestartPolicy = corev1.RestartPolicyNever
	p.Spec.Volumes = []corev1.Volume{
		{Name: "settings", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "settings"},
			Items:                []corev1.KeyToPath{{Key: "color", Path: "shade"}},
		}}},
		{Name: "login", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "login"}}},
		{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		{Name: "info", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{
			Items: []corev1.DownwardAPIVolumeFile{
				{Path: "name", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}},
				{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}},
			},
		}}},
	}
	c := &p.Spec.Containers[0]
	c.VolumeMounts = []corev1.VolumeMount{
		{Name: "settings", MountPath: "/etc/weir/settings"}, {Name: "data", MountPath: "/data"},
		{Name: "login", MountPath: "/etc/weir/login", SubPathExpr: "$(KEY)"}, {Name: "info", MountPath: "/info"},
	}
	c.SecurityContext = &corev1.SecurityContext{ReadOnlyRootFilesystem: ptr.To(true)}
	c.Env = []corev1.EnvVar{
		{Name: "KEY", Value: "user"},
		{Name: "COLOR", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}, Key: "color"}}},
		{Name: "USER_NAME", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: "login"}, Key: "user"}}},
		{Name: "BOTH", Value: "$(COLOR)-$(USER_NAME)-$$(COLOR)-$(UNKNOWN)"},
	}
	create(t, cp, namespace, p)
	eventually(t, cp, namespace, "files", phase(corev1.PodSucceeded))

	log := node.Log(namespace, "files", "main")
	for _, want := range []string{
		"65532\n", "blue alice blue-alice-$(COLOR)-$(UNKNOWN)\n", "bluealicefiles", `app="files"`, "hello\n", "1\nfiles\n",
		"/root-file': Read-only file system", "/etc/weir-kubelet-test': Read-only file system",
		"/var/run/written': Permission denied",
	} {
		assert.Contains(t, log, want)
	}
	assert.NoFileExists(t, "/etc/weir/login")
	assert.NoFileExists(t, "/info")
}
