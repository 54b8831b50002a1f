package env

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// dumped lists the kinds that help to explain a failure. Secrets are not dumped.
const dumped = "nodes,persistentvolumes,storageclasses,pods,services,configmaps,persistentvolumeclaims,statefulsets," +
	"deployments,daemonsets,jobs,poddisruptionbudgets,leases"

// Dump writes objects, events and the logs of all pods to a directory. It ignores errors.
func (e *Env) Dump(ctx context.Context, dir string) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	write := func(name string, args ...string) {
		out, err := e.Kubectl(ctx, args...)
		if err != nil {
			out += "\n" + err.Error() + "\n"
		}
		if strings.TrimSpace(out) == "" || os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755) != nil {
			return
		}
		_ = os.WriteFile(filepath.Join(dir, name), []byte(out), 0o644)
	}
	write("pods.txt", "get", "pods", "-A", "-o", "wide")
	write("events.txt", "get", "events", "-A", "--sort-by=.lastTimestamp")
	write("objects.yaml", "get", dumped, "-A", "-o", "yaml")
	if kinds, err := e.Kubectl(ctx, "api-resources", "--verbs=list", "-o", "name"); err == nil {
		for kind := range strings.Lines(kinds) {
			if kind = strings.TrimSpace(kind); strings.HasSuffix(kind, ".io.confluent.csid") ||
				strings.HasSuffix(kind, ".weir.dev") ||
				strings.HasSuffix(kind, ".kadalu-operator.storage") {
				write(kind+".yaml", "get", kind, "-A", "-o", "yaml")
			}
		}
	}
	pods, err := e.Kube.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	for _, pod := range pods.Items {
		name := filepath.Join("logs", pod.Namespace, pod.Name)
		write(name+".txt", "logs", "-n", pod.Namespace, pod.Name, "--all-containers", "--prefix")
		for _, c := range pod.Status.ContainerStatuses {
			if c.RestartCount > 0 {
				write(
					name+".previous.txt",
					"logs",
					"-n",
					pod.Namespace,
					pod.Name,
					"--all-containers",
					"--prefix",
					"--previous",
				)
				break
			}
		}
	}
}
