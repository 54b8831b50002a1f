package suites

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weir-dev/weir/e2e/kind/internal/env"
)

const (
	// agents is the namespace of the agents of volume-provisioner.
	agents = "weir-node"
	// localVolume is the label selector of the PersistentVolumes of volume-provisioner.
	localVolume = "weir.dev/local-volume=true"
	// basePath is the mount point of the disk of each node.
	basePath = "/mnt/data"
	// diskSize is enough for three volumes of 5Gi, two of 1Gi and 10 percent. The disks are sparse files.
	diskSize = "24G"
)

// replicas are the pods of a namespace that use local volumes.
type replicas struct {
	*environment
	namespace string
	// directories are those of the claims, by the name of the claim.
	directories map[string]directory
	// pods has the uids of all pods that have used a volume, by name of the pod, in the order of their creation.
	pods map[string][]types.UID
}

// directory is the directory of a claim, and the name of the pod that the claim is for.
type directory struct{ node, path, pod string }

func (e *environment) replicasIn(namespace string) *replicas {
	return &replicas{e, namespace, map[string]directory{}, map[string][]types.UID{}}
}

// localDisks mounts a disk at the base path of each node and installs volume-provisioner. It returns the number of
// agents.
func (r *replicas) localDisks(ctx context.Context) (int, error) {
	if err := r.removeEarlierRun(ctx); err != nil {
		return 0, err
	}
	nodes, err := r.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, err
	}
	for _, node := range nodes.Items {
		if err := r.cluster.Disk(ctx, node.Name, basePath, diskSize); err != nil {
			return 0, err
		}
	}
	if err := r.install(ctx, "volume-provisioner"); err != nil {
		return 0, err
	}
	return len(nodes.Items), r.agentsReady(ctx)
}

// removeEarlierRun empties the disks of a kept cluster.
func (r *replicas) removeEarlierRun(ctx context.Context) error {
	if !r.cluster.Reused {
		return nil
	}
	for _, args := range [][]string{
		{"delete", "namespace", agents, r.namespace, "--ignore-not-found"},
		{"delete", "pv", "-l", localVolume},
	} {
		if _, err := r.Kubectl(ctx, args...); err != nil {
			return err
		}
	}
	nodes, err := r.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, node := range nodes.Items {
		const empty = "! mountpoint -q " + basePath + " || umount " + basePath
		if _, err := r.cluster.Exec(ctx, node.Name, "sh", "-c", empty); err != nil {
			return err
		}
	}
	// The agents create them again, and accept the new disks.
	_, err = r.Kubectl(ctx, "delete", "localvolumenodes", "--all", "--ignore-not-found")
	if err != nil && strings.Contains(err.Error(), "doesn't have a resource type") {
		return nil
	}
	return err
}

func (r *replicas) agentsReady(ctx context.Context) error {
	_, err := r.Kubectl(ctx, "rollout", "status", "-n", agents, "daemonset/volume-provisioner-agent")
	return err
}

// setHas waits until the set is Ready with a number of volumes and of bound claims.
func (r *replicas) setHas(ctx context.Context, name string, volumes, bound int) error {
	sets := r.Weir.StorageV1alpha1().KafkaLocalVolumeSets(r.namespace)
	return env.Until(ctx, "the KafkaLocalVolumeSet", func(ctx context.Context) error {
		set, err := sets.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		want := fmt.Sprintf("%d/%d", volumes, volumes)
		if s := set.Status; s.ObservedGeneration != set.Generation || s.Ready != want || int(s.Bound) != bound {
			return fmt.Errorf("%s volumes are ready and %d are bound, want %s and %d: %+v", s.Ready, s.Bound, want, bound,
				s.Conditions)
		}
		return nil
	})
}

// recordPods waits until a number of pods with a label are Ready, and records the uids of new ones.
func (r *replicas) recordPods(ctx context.Context, selector string, want int) error {
	return env.Until(ctx, "the pods with "+selector, func(ctx context.Context) error {
		pods, err := r.Pods(ctx, r.namespace, selector)
		if err != nil {
			return err
		}
		ready := 0
		for _, pod := range pods {
			for _, condition := range pod.Status.Conditions {
				if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue &&
					pod.DeletionTimestamp == nil {
					ready++
				}
			}
		}
		if ready != want {
			return fmt.Errorf("%d pods are Ready, want %d", ready, want)
		}
		for name, pod := range pods {
			if !slices.Contains(r.pods[name], pod.UID) {
				r.pods[name] = append(r.pods[name], pod.UID)
			}
		}
		return nil
	})
}

// verifyDirectories reads the directories on the nodes. The file pods of each must list exactly the pods that its claim
// was for, in their order.
func (r *replicas) verifyDirectories(ctx context.Context) error {
	var wrong []error
	for _, claim := range slices.Sorted(maps.Keys(r.directories)) {
		d := r.directories[claim]
		used, err := r.podsIn(ctx, d)
		if err != nil {
			return err
		}
		var want []string
		for _, uid := range r.pods[d.pod] {
			want = append(want, d.pod+" "+string(uid))
		}
		if !slices.Equal(used, want) {
			wrong = append(wrong, fmt.Errorf("%s on %s was used by %v, want %v", d.path, d.node, used, want))
		}
	}
	return errors.Join(wrong...)
}

// podsIn returns the lines of the file pods of a directory. A container that restarts adds a line once more.
func (r *replicas) podsIn(ctx context.Context, d directory) ([]string, error) {
	content, err := r.cluster.Exec(ctx, d.node, "cat", d.path+"/pods")
	if err != nil {
		return nil, err
	}
	return slices.Compact(strings.Split(strings.TrimSpace(content), "\n")), nil
}

// table has a row for each directory, with all pods that have used it.
func (r *replicas) table(ctx context.Context) [][]string {
	rows := [][]string{{"DIRECTORY", "NODE", "USED BY", "PODS"}}
	for _, claim := range slices.Sorted(maps.Keys(r.directories)) {
		names, uids := map[string]bool{}, map[types.UID]bool{}
		d := r.directories[claim]
		used, err := r.podsIn(ctx, d)
		if err != nil {
			names[err.Error()] = true
		}
		for _, line := range used {
			name, uid, _ := strings.Cut(line, " ")
			names[name], uids[types.UID(uid)] = true, true
		}
		rows = append(rows, []string{d.path, d.node, strings.Join(slices.Sorted(maps.Keys(names)), ", "),
			fmt.Sprint(len(uids))})
	}
	return rows
}

// recordDirectories records the directories of three brokers, which must be in a parent directory. Those that are known
// must be the same.
func (r *replicas) recordDirectories(ctx context.Context, statefulSet, class, parent string) error {
	for i := range 3 {
		pod, err := r.Kube.CoreV1().Pods(r.namespace).Get(ctx, fmt.Sprintf("%s-%d", statefulSet, i), metav1.GetOptions{})
		if err != nil {
			return err
		}
		name := "data-" + pod.Name
		claim, err := r.Kube.CoreV1().PersistentVolumeClaims(r.namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		pv, err := r.Kube.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		found := directory{pod.Spec.NodeName, pv.Spec.Local.Path, pod.Name}
		want := directory{pod.Spec.NodeName, parent + "/" + name, pod.Name}
		if earlier, known := r.directories[name]; known {
			want = earlier
		}
		if found != want || pv.Spec.StorageClassName != class {
			return fmt.Errorf("claim %s has %+v of class %s, want %+v of class %s", name, found, pv.Spec.StorageClassName,
				want, class)
		}
		r.directories[name] = found
	}
	return nil
}

// foreign returns the number of entries in the directories on available nodes that a pod of another claim has made. The
// current pod of each claim must have made the last entry.
func (r *replicas) foreign(ctx context.Context, lost string) (wrong int, err error) {
	for _, claim := range slices.Sorted(maps.Keys(r.directories)) {
		d := r.directories[claim]
		if d.node == lost {
			continue
		}
		used, err := r.podsIn(ctx, d)
		if err != nil {
			return wrong, err
		}
		for _, line := range used {
			if name, _, _ := strings.Cut(line, " "); name != d.pod {
				wrong++
			}
		}
		pod, err := r.Kube.CoreV1().Pods(r.namespace).Get(ctx, d.pod, metav1.GetOptions{})
		if err != nil {
			return wrong, err
		}
		if last := d.pod + " " + string(pod.UID); used[len(used)-1] != last {
			return wrong, fmt.Errorf("the last pod in %s on %s is %s, want %s", d.path, d.node, used[len(used)-1], last)
		}
	}
	return wrong, nil
}
