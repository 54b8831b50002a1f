package suites

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/weir-dev/weir/e2e/kind/internal/env"
)

const (
	// mostKills is the largest number of deleted pods of each service.
	mostKills = 8
	// killInterval is the time between two.
	killInterval = 8 * time.Second
)

// workload is a Deployment or DaemonSet of a service. Its container with the image of the service has a name.
type workload struct{ namespace, name, service, container string }

// workloads are those of all services, except the clients of gluster-bridge: files that are open stay broken when they
// end.
var workloads = []workload{
	{system, "deployment/connect-scheduler", "connect-scheduler", "connect-scheduler"},
	{system, "deployment/drain-cleaner", "drain-cleaner", "drain-cleaner"},
	{system, "deployment/volume-provisioner", "volume-provisioner", "volume-provisioner"},
	{agents, "daemonset/volume-provisioner-agent", "volume-provisioner", "agent"},
	{agents, "deployment/gluster-bridge", "gluster-bridge", "gluster-bridge"},
	{agents, "daemonset/gluster-bridge-node", "gluster-bridge", "gluster-bridge"},
}

// quotadService is quotad, which is no pod in this suite.
const quotadService = "quotad"

// kills deletes pods of the services in random order.
type kills struct {
	stop    context.CancelFunc
	running sync.WaitGroup
	// killed is the number of deleted pods of each service. It is read after running.
	killed map[string]int
}

func (c *combined) startKilling(ctx context.Context) {
	ctx, c.kills.stop = context.WithCancel(ctx)
	c.kills.killed = map[string]int{quotadService: 0}
	for _, w := range workloads {
		c.kills.killed[w.service] = 0
	}
	c.kills.running.Go(func() { c.kill(ctx) })
}

// stopKilling waits for the end of the deletions. It can be called several times.
func (c *combined) stopKilling() {
	if c.kills.stop != nil {
		c.kills.stop()
		c.kills.running.Wait()
	}
}

// kill deletes a pod of each service in random order, and so on.
func (c *combined) kill(ctx context.Context) {
	order := slices.Sorted(maps.Keys(c.kills.killed))
	tick := time.NewTicker(killInterval)
	defer tick.Stop()
	for range mostKills {
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, service := range order {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := c.killOne(ctx, service); err == nil {
				c.kills.killed[service]++
			}
		}
	}
}

// killOne deletes a pod once all pods of the service are ready: kills of two replicas at a time are for other tests.
func (c *combined) killOne(ctx context.Context, service string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if service == quotadService {
		server := glusterServers[rand.IntN(len(glusterServers))]
		_, err := c.cluster.ExecServer(ctx, server, "sh", "-c", "kill -KILL $(cat "+quotadPID+")")
		return err
	}
	return env.Until(ctx, "pods of "+service, func(ctx context.Context) error {
		pods, err := c.podsOf(ctx, service)
		if err != nil {
			return err
		}
		for _, pod := range pods {
			if pod.DeletionTimestamp != nil || !podReady(pod) {
				return fmt.Errorf("%s is not ready", pod.Name)
			}
		}
		if len(pods) == 0 {
			return fmt.Errorf("%s has no pod", service)
		}
		pod := pods[rand.IntN(len(pods))]
		_, err = c.Kubectl(ctx, "delete", "pod", "-n", pod.Namespace, pod.Name, "--wait=false")
		return err
	})
}

// podsOf returns the pods of the workloads of a service.
func (c *combined) podsOf(ctx context.Context, service string) ([]corev1.Pod, error) {
	var all []corev1.Pod
	for _, namespace := range []string{system, agents} {
		pods, err := c.Pods(ctx, namespace, "app.kubernetes.io/name="+service+",app.kubernetes.io/component!=clients")
		if err != nil {
			return nil, err
		}
		all = slices.AppendSeq(all, maps.Values(pods))
	}
	return all, nil
}

func podReady(pod corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// upgrade changes the image of all workloads and waits until all pods have it. Pods of connectors must not be
// restarted. quotad is replaced and restarted, as its package does.
func (c *combined) upgrade(ctx context.Context) (string, error) {
	if err := c.connectorsRun(ctx, c.namespace); err != nil {
		return "", err
	}
	before, err := c.identities(ctx, c.namespace, allPods)
	if err != nil {
		return "", err
	}
	for _, w := range workloads {
		if _, err := c.Kubectl(ctx, "set", "image", "-n", w.namespace, w.name,
			w.container+"="+Next(w.service)); err != nil {
			return "", err
		}
	}
	// A pod is not deleted any more, so that the rollouts end.
	c.stopKilling()
	for _, w := range workloads {
		if _, err := c.Kubectl(ctx, "rollout", "status", "-n", w.namespace, w.name); err != nil {
			return "", err
		}
	}
	upgraded := 0
	for _, service := range []string{"connect-scheduler", "drain-cleaner", "volume-provisioner", "gluster-bridge"} {
		pods, err := c.podsOf(ctx, service)
		if err != nil {
			return "", err
		}
		for _, pod := range pods {
			if pod.DeletionTimestamp != nil {
				continue
			}
			if image := pod.Spec.Containers[0].Image; image != Next(service) {
				return "", fmt.Errorf("pod %s has the image %s, want %s", pod.Name, image, Next(service))
			}
			upgraded++
		}
	}
	if err := c.quotadUpgrade(ctx); err != nil {
		return "", err
	}
	now, err := c.identities(ctx, c.namespace, allPods)
	if names := changed(before, now); err == nil && names != nil {
		err = fmt.Errorf("the pods %v of connectors were restarted", names)
	}
	return fmt.Sprintf("%d pods and %d quotads are replaced, %d pods of connectors keep running", upgraded,
		len(glusterServers), len(now)), err
}

// quotadRuns waits until quotad runs on all servers.
func (c *combined) quotadRuns(ctx context.Context) error {
	for _, server := range glusterServers {
		if _, err := c.quotadProcess(ctx, server, ""); err != nil {
			return err
		}
	}
	return nil
}

// quotadProcess waits for a process of quotad on a server with another id than one, and returns its id.
func (c *combined) quotadProcess(ctx context.Context, server, other string) (id string, err error) {
	err = env.Until(ctx, "quotad on "+server, func(ctx context.Context) error {
		out, err := c.cluster.ExecServer(ctx, server, "sh", "-c", "id=$(cat "+quotadPID+") && kill -0 $id && echo $id")
		if err != nil {
			return err
		}
		if id = strings.TrimSpace(out); id == "" || id == other {
			return fmt.Errorf("the process is %q", id)
		}
		return nil
	})
	return id, err
}

func (c *combined) quotadUpgrade(ctx context.Context) error {
	for _, server := range glusterServers {
		id, err := c.quotadProcess(ctx, server, "")
		if err != nil {
			return err
		}
		const replace = "cd /usr/local/bin && cp quotad quotad.next && mv quotad.next quotad && kill "
		if _, err := c.cluster.ExecServer(ctx, server, "sh", "-c", replace+id); err != nil {
			return err
		}
		if _, err := c.quotadProcess(ctx, server, id); err != nil {
			return err
		}
	}
	return nil
}
