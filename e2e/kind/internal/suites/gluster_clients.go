package suites

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/weir-dev/weir/e2e/kind/internal/env"
)

// glusterWriters are the containers of the shared pods that write all the time.
var glusterWriters = []string{"writer", "subpath-writer"}

const (
	// glusterKills is how often the clients of all nodes are killed.
	glusterKills = 5
	// glusterRecovery is the longest time that a container may have no volume after its client was killed, and
	// glusterUpgradeRecovery after the deletion of the pod of its client, which has to start again.
	glusterRecovery        = 10 * time.Second
	glusterUpgradeRecovery = time.Minute
	// glusterNodePods and glusterClientPods are the pods of the driver on the nodes.
	glusterNodePods   = glusterService + ",app.kubernetes.io/component=node"
	glusterClientPods = glusterService + ",app.kubernetes.io/component=clients"
)

// glusterWritten returns what the writers have written until now: it waits for their next reports, in which no writer
// is without its volume.
func (e *environment) glusterWritten(ctx context.Context) (map[string]env.Written, error) {
	first, err := e.glusterReports(ctx)
	if err != nil {
		return nil, err
	}
	var next map[string]env.Written
	err = env.Until(ctx, "the reports of the writers", func(ctx context.Context) (err error) {
		if next, err = e.glusterReports(ctx); err != nil {
			return err
		}
		for name, report := range next {
			if report.Down || report.Writes <= first[name].Writes {
				return fmt.Errorf("%s does not write: %+v", name, report)
			}
		}
		return nil
	})
	return next, err
}

// glusterReports returns the last reports of the writers, by pod and container.
func (e *environment) glusterReports(ctx context.Context) (map[string]env.Written, error) {
	pods, err := e.Pods(ctx, glusterNamespace, glusterPods)
	if err != nil {
		return nil, err
	}
	reports := map[string]env.Written{}
	for pod := range pods {
		for _, container := range glusterWriters {
			out, err := e.Kube.CoreV1().Pods(glusterNamespace).GetLogs(pod, &corev1.PodLogOptions{
				Container: container, TailLines: ptr.To(int64(1)),
			}).DoRaw(ctx)
			if err != nil {
				return nil, err
			}
			var report env.Written
			if err := json.Unmarshal(out, &report); err != nil {
				return nil, fmt.Errorf("decode the report %q of %s in pod %s: %w", out, container, pod, err)
			}
			reports[pod+"/"+container] = report
		}
	}
	if len(reports) == 0 {
		return nil, errors.New("no pod writes")
	}
	return reports, nil
}

// glusterWithoutErrors runs f while the writers write, and returns an error if one of them had an error.
func (e *environment) glusterWithoutErrors(
	ctx context.Context, f func(context.Context) (string, error),
) (string, error) {
	identities, err := e.identities(ctx, glusterNamespace, glusterPods)
	if err != nil {
		return "", err
	}
	before, err := e.glusterWritten(ctx)
	if err != nil {
		return "", err
	}
	result, err := f(ctx)
	if err != nil {
		return "", err
	}
	after, err := e.glusterWritten(ctx)
	if err != nil {
		return "", err
	}
	writes := int64(0)
	for name, report := range after {
		if report.Failed > before[name].Failed {
			return "", fmt.Errorf("%s had %d errors, the last one is %s", name, report.Failed-before[name].Failed,
				report.Error)
		}
		writes += report.Writes - before[name].Writes
	}
	now, err := e.identities(ctx, glusterNamespace, glusterPods)
	if names := changed(identities, now); err == nil && names != nil {
		err = fmt.Errorf("the pods %v were restarted", names)
	}
	return fmt.Sprintf("%s; %d writers wrote %d times with 0 errors", result, len(after), writes), err
}

// glusterDriverRestart replaces the pods of the driver.
func (e *environment) glusterDriverRestart(ctx context.Context) (string, error) {
	return e.glusterWithoutErrors(ctx, func(ctx context.Context) (string, error) {
		if err := e.glusterRestart(ctx); err != nil {
			return "", err
		}
		if err := e.glusterRunning(ctx); err != nil {
			return "", err
		}
		result, failed, err := e.glusterWriteAndRead(ctx, "restarted")
		if err == nil && failed > 0 {
			err = fmt.Errorf("%d writes failed", failed)
		}
		return result, err
	})
}

// glusterUpgrade changes the image of the driver. The clients keep theirs.
func (e *environment) glusterUpgrade(ctx context.Context) (string, error) {
	clients, err := e.identities(ctx, agents, glusterClientPods)
	if err != nil {
		return "", err
	}
	return e.glusterWithoutErrors(ctx, func(ctx context.Context) (string, error) {
		_, err := e.Kubectl(ctx, "set", "image", "-n", agents, "deployment/gluster-bridge", "daemonset/gluster-bridge-node",
			"daemonset/gluster-bridge-clients", "gluster-bridge="+glusterNext)
		if err != nil {
			return "", err
		}
		if err := e.glusterRunning(ctx); err != nil {
			return "", err
		}
		pods, err := e.Pods(ctx, agents, glusterService+",app.kubernetes.io/component!=clients")
		if err != nil {
			return "", err
		}
		for name, pod := range pods {
			if image := pod.Spec.Containers[0].Image; image != glusterNext && pod.DeletionTimestamp == nil {
				return "", fmt.Errorf("pod %s has the image %s", name, image)
			}
		}
		now, err := e.identities(ctx, agents, glusterClientPods)
		if names := changed(clients, now); err == nil && names != nil {
			err = fmt.Errorf("the pods of the clients %v were restarted", names)
		}
		return fmt.Sprintf("%d pods have the new image, %d pods with clients were not restarted", len(pods), len(now)), err
	})
}

// glusterDrain drains the node of a pod that is not of a DaemonSet.
func (e *environment) glusterDrain(ctx context.Context) (string, error) {
	return e.glusterWithoutErrors(ctx, func(ctx context.Context) (string, error) {
		before, err := e.glusterMoving(ctx, "")
		if err != nil {
			return "", err
		}
		node := before.Spec.NodeName
		kept, err := e.identities(ctx, agents, glusterService+",app.kubernetes.io/component in (node, clients)")
		if err != nil {
			return "", err
		}
		if _, err := e.glusterShell(ctx, before.Name, "echo before >/mnt/shared/moved"); err != nil {
			return "", err
		}
		defer e.uncordon(ctx, node)
		begun := time.Now()
		if err := e.kubectlDrain(ctx, node, stepLimit/2); err != nil {
			return "", err
		}
		took := time.Since(begun)
		after, err := e.glusterMoving(ctx, node)
		if err != nil {
			return "", err
		}
		out, err := e.glusterShell(ctx, after.Name, "cat /mnt/shared/moved && echo after >/mnt/shared/moved")
		if err != nil || strings.TrimSpace(out) != "before" {
			return "", errors.Join(fmt.Errorf("the pod on %s reads %q", after.Spec.NodeName, out), err)
		}
		pods, err := e.Pods(ctx, glusterNamespace, glusterPods)
		if err != nil {
			return "", err
		}
		for reader := range pods {
			out, err := e.glusterShell(ctx, reader, "cat /mnt/shared/moved")
			if err != nil || strings.TrimSpace(out) != "after" {
				return "", errors.Join(fmt.Errorf("%s reads %q", reader, out), err)
			}
		}
		now, err := e.identities(ctx, agents, glusterService+",app.kubernetes.io/component in (node, clients)")
		if err != nil {
			return "", err
		}
		if names := changed(kept, now); names != nil {
			return "", fmt.Errorf("the drain restarted the pods %v", names)
		}
		e.uncordon(ctx, node)
		return fmt.Sprintf("%s drained in %.0f s, the pod is on %s and has its files", node, took.Seconds(),
			after.Spec.NodeName), e.glusterRunning(ctx)
	})
}

// glusterMoving waits for the ready pod of the Deployment on another node than one.
func (e *environment) glusterMoving(ctx context.Context, node string) (corev1.Pod, error) {
	var found corev1.Pod
	err := env.Until(ctx, "the pod that moves", func(ctx context.Context) error {
		pods, err := e.Pods(ctx, glusterNamespace, "app=moving")
		if err != nil {
			return err
		}
		for _, pod := range pods {
			ready := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
			})
			if ready && pod.DeletionTimestamp == nil && pod.Spec.NodeName != node {
				found = pod
				return nil
			}
		}
		return errors.New("no pod is ready")
	})
	return found, err
}

// glusterClientsKilled kills the clients of all workers, as the kernel does when it has no memory.
func (e *environment) glusterClientsKilled(ctx context.Context) (string, error) {
	nodes, err := e.workers(ctx)
	if err != nil {
		return "", err
	}
	return e.glusterRecovered(ctx, glusterKills, glusterRecovery, func(ctx context.Context) error {
		for _, node := range nodes {
			// The number of killed processes is the output.
			out, err := e.cluster.Exec(ctx, node, "pkill", "-KILL", "--count", "--full",
				`^glusterfs .*/gluster\.weir\.dev/mounts/`)
			if err != nil {
				return err
			}
			if n, err := strconv.Atoi(strings.TrimSpace(out)); err != nil || n == 0 {
				return errors.Join(fmt.Errorf("node %s has no client: %q", node, out), err)
			}
		}
		return nil
	})
}

// glusterClientsUpgrade deletes the pods with the clients, one after the other, so that they get the image of their
// DaemonSet.
func (e *environment) glusterClientsUpgrade(ctx context.Context) (string, error) {
	return e.glusterRecovered(ctx, 1, glusterUpgradeRecovery, func(ctx context.Context) error {
		pods, err := e.Pods(ctx, agents, glusterClientPods)
		if err != nil {
			return err
		}
		for name := range pods {
			if _, err := e.Kubectl(ctx, "delete", "pod", "-n", agents, name); err != nil {
				return err
			}
			if err := e.glusterRunning(ctx); err != nil {
				return err
			}
		}
		if pods, err = e.Pods(ctx, agents, glusterClientPods); err != nil {
			return err
		}
		for name, pod := range pods {
			if image := pod.Spec.Containers[0].Image; image != glusterNext {
				return fmt.Errorf("pod %s has the image %s", name, image)
			}
		}
		return nil
	})
}

// glusterRecovered ends the clients of all workers and waits until all writers write again, in the same containers.
func (e *environment) glusterRecovered(
	ctx context.Context, rounds int, limit time.Duration, end func(context.Context) error,
) (string, error) {
	identities, err := e.identities(ctx, glusterNamespace, glusterPods)
	if err != nil {
		return "", err
	}
	writers := 0
	var seconds []float64
	for range rounds {
		before, err := e.glusterWritten(ctx)
		if err != nil {
			return "", err
		}
		if err := end(ctx); err != nil {
			return "", err
		}
		var after map[string]env.Written
		if err := env.Until(ctx, "the recovery of all writers", func(ctx context.Context) (err error) {
			if after, err = e.glusterWritten(ctx); err != nil {
				return err
			}
			for name, report := range after {
				if len(report.Outages) == len(before[name].Outages) {
					return fmt.Errorf("%s had no outage", name)
				}
			}
			return nil
		}); err != nil {
			return "", err
		}
		writers = len(after)
		for _, name := range slices.Sorted(maps.Keys(after)) {
			seconds = append(seconds, after[name].Outages[len(before[name].Outages):]...)
		}
	}
	now, err := e.identities(ctx, glusterNamespace, glusterPods)
	if names := changed(identities, now); err == nil && names != nil {
		err = fmt.Errorf("the pods %v were restarted", names)
	}
	slices.Sort(seconds)
	p99 := seconds[len(seconds)*99/100]
	if err == nil && p99 > limit.Seconds() {
		err = fmt.Errorf("the recovery took %.1f s, want at most %s", p99, limit)
	}
	return fmt.Sprintf("%d times, %d containers: p50 %.2f s, p99 %.2f s; no restart", rounds, writers,
		seconds[len(seconds)/2], p99), err
}
