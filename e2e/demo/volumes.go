package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/pkg/testkit"
)

const (
	// volumeSet is the name of the set in the example and of the release in chart.yaml.
	volumeSet = "cp-helm-charts"
	// ofRelease is the label selector of the pods and StatefulSets of the release.
	ofRelease = "release=" + volumeSet
	// recordsFile is the file that the demo writes in place of a broker or server.
	recordsFile = "records"
)

// volumes is the state of the chapter volumes.
type volumes struct {
	controller, agent *env.Service
	weir              versioned.Interface
	// basePath is the directory of this machine that has the directories of all volumes.
	basePath string
	node     string
}

// volumesChapter demonstrates volume-provisioner.
var volumesChapter = chapter{
	name:      "volumes",
	title:     "every replica gets its own disk back",
	service:   "volume-provisioner",
	namespace: "default",
	linux:     true,
	intro: []string{
		"Kafka needs local disks, and the data of kafka-1 must never go to another replica. The controller places replicas",
		"and writes PersistentVolumes; the agent of a node creates real directories, here below a temporary directory.",
	},
	steps: []step{
		{"Install volume-provisioner with the agent of one node.", 3 * stepLimit, (*demo).installVolumes},
		{"Describe the volumes of the Confluent chart: one object, nine PersistentVolumes.", stepLimit, (*demo).applySet},
		{"Install the chart. Every replica writes into its directories.", stepLimit, (*demo).installChart},
		{"Uninstall the chart and delete its claims. The data stays.", stepLimit, (*demo).uninstallChart},
		{"Install it again. Every replica finds its own records.", stepLimit, (*demo).reinstallChart},
	},
	usage: func(d *demo) *env.Service { return d.volumes.controller },
	explore: func(d *demo) []string {
		return []string{
			"kubectl get kafkalocalvolumesets,localvolumenodes,pv,pvc",
			"kubectl describe kafkalocalvolumeset " + volumeSet,
			"head " + filepath.Join(d.volumes.basePath, "*", ".volume-id"),
			"kubectl delete statefulset,pvc -l " + ofRelease + "; kubectl apply -f e2e/demo/chart.yaml",
		}
	},
}

func (d *demo) installVolumes(ctx context.Context) error {
	base, err := d.installBase(ctx, "volume-provisioner")
	if err != nil {
		return err
	}
	d.note("skipped", yellow, "%s", strings.Join(byKind(base.Skipped), ", "))
	d.explain("The controller and the agent run as local processes, with the permissions of their manifests.")
	v := &d.volumes
	if v.weir, err = versioned.NewForConfig(d.cp.RESTConfig()); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	nodes, err := d.cp.Client().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	v.node = nodes.Items[0].Name
	if v.basePath, err = os.MkdirTemp("", "weir-demo-"); err != nil {
		return err
	}
	// The agent refuses a base path that is a symbolic link.
	if v.basePath, err = filepath.EvalSymlinks(v.basePath); err != nil {
		return err
	}
	if err := d.spin("starting volume-provisioner", func() error {
		if v.controller, err = env.StartVolumeProvisioner(ctx, d.cp, d.root, v.basePath); err != nil {
			return err
		}
		v.agent, err = env.StartVolumeAgent(ctx, d.cp, d.root, v.node, v.basePath)
		return err
	}); err != nil {
		return err
	}
	d.done("The controller and the agent of %s are ready (%s). The base path is %s.", v.node, since(d.began), v.basePath)
	return nil
}

// applySet applies the example with the temporary directory, and with sizes that fit on a small disk.
func (d *demo) applySet(ctx context.Context) error {
	const file = "deploy/examples/volume-provisioner/confluent.yaml"
	example, err := os.ReadFile(filepath.Join(d.root, file))
	if err != nil {
		return err
	}
	command := fmt.Sprintf("$ sed 's|/mnt/data|%s|; s|5Gi|10Mi|' %s | kubectl apply -f -", d.volumes.basePath, file)
	d.screen.line(indent+"%s", d.screen.paint(cyan, command))
	set := strings.NewReplacer("/mnt/data", d.volumes.basePath, "5Gi", "10Mi").Replace(string(example))
	if uid := os.Getuid(); uid != 0 {
		d.explain("The directories belong to you, because the agent does not run as root here: owner: {uid: %d}.", uid)
		set = strings.Replace(set, "spec:\n", fmt.Sprintf("spec:\n  owner: {uid: %d, fsGroup: %d}\n", uid, os.Getgid()), 1)
	}
	if _, err := d.cp.ApplyYAML(ctx, "", set); err != nil {
		return err
	}
	if err := d.spin("waiting for nine volumes", func() error { return d.setHas(ctx, 0) }); err != nil {
		return err
	}
	pvs, err := d.cp.Client().CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list PersistentVolumes: %w", err)
	}
	rows := [][]string{{"PERSISTENTVOLUME", "STATUS", "NODE", "MARKER " + ".volume-id"}}
	for _, pv := range pvs.Items {
		marker, err := os.ReadFile(filepath.Join(pv.Spec.Local.Path, ".volume-id"))
		if err != nil {
			return err
		}
		if !strings.Contains(string(marker), d.namespace+"/"+pv.Name) {
			return fmt.Errorf("the marker of %s is %s", pv.Name, marker)
		}
		rows = append(rows, []string{pv.Name, string(pv.Status.Phase), d.volumes.node, d.namespace + "/" + pv.Name})
	}
	d.rows(rows)
	d.done("%d PersistentVolumes with directories and markers (%s). Each is reserved for one claim, before it exists.",
		len(pvs.Items), since(d.began))
	return nil
}

// setHas waits until nine volumes are ready and a number of claims is bound.
func (d *demo) setHas(ctx context.Context, bound int32) error {
	sets := d.volumes.weir.StorageV1alpha1().KafkaLocalVolumeSets(d.namespace)
	return testkit.Poll(ctx, "the KafkaLocalVolumeSet", func(ctx context.Context) error {
		if err := d.checkProcesses(); err != nil {
			return testkit.Permanent(err)
		}
		set, err := sets.Get(ctx, volumeSet, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if s := set.Status; s.Ready != "9/9" || s.Bound != bound {
			return fmt.Errorf("%s volumes are ready and %d are bound, want 9/9 and %d", s.Ready, s.Bound, bound)
		}
		return nil
	})
}

// rows prints a table.
func (d *demo) rows(rows [][]string) {
	d.screen.keep()
	d.screen.line("")
	for _, line := range columns(rows) {
		d.screen.line("%s", indent+line)
	}
}

// mount is a directory in a pod.
type mount struct{ pod, claim, directory string }

// chartRuns waits until the pods of the chart run, and returns their directories.
func (d *demo) chartRuns(ctx context.Context) ([]mount, error) {
	if err := d.kubectl(ctx, "apply", "-f", "e2e/demo/chart.yaml"); err != nil {
		return nil, err
	}
	core, pods := d.cp.Client().CoreV1(), []corev1.Pod(nil)
	if err := d.spin("waiting for six pods", func() error {
		if err := testkit.Poll(ctx, "the pods of the chart", func(ctx context.Context) error {
			list, err := core.Pods(d.namespace).List(ctx, metav1.ListOptions{LabelSelector: ofRelease})
			if err != nil {
				return err
			}
			pods = list.Items
			ready := 0
			for i := range pods {
				if env.Ready(&pods[i]) {
					ready++
				}
			}
			if ready != 6 {
				return fmt.Errorf("%d of 6 pods are Ready", ready)
			}
			return nil
		}); err != nil {
			return err
		}
		return d.setHas(ctx, 9)
	}); err != nil {
		return nil, err
	}
	var mounts []mount
	for _, pod := range pods {
		for _, volume := range pod.Spec.Volumes {
			if volume.PersistentVolumeClaim == nil {
				continue
			}
			claim, err := core.PersistentVolumeClaims(d.namespace).Get(ctx, volume.PersistentVolumeClaim.ClaimName,
				metav1.GetOptions{})
			if err != nil {
				return nil, fmt.Errorf("read a claim of %s: %w", pod.Name, err)
			}
			pv, err := core.PersistentVolumes().Get(ctx, claim.Spec.VolumeName, metav1.GetOptions{})
			if err != nil {
				return nil, fmt.Errorf("read the PersistentVolume of claim %s: %w", claim.Name, err)
			}
			mounts = append(mounts, mount{pod.Name, claim.Name, pv.Spec.Local.Path})
		}
	}
	if len(mounts) != 9 {
		return nil, fmt.Errorf("the pods have %d claims, want 9", len(mounts))
	}
	return mounts, nil
}

func (d *demo) installChart(ctx context.Context) error {
	mounts, err := d.chartRuns(ctx)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if _, err := os.Stat(filepath.Join(m.directory, recordsFile)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the new directory %s has records", m.directory)
		}
		content := []byte("records of " + m.pod)
		if err := os.WriteFile(filepath.Join(m.directory, recordsFile), content, 0o600); err != nil {
			return err
		}
	}
	d.done("Three brokers and three ZooKeeper servers run, nine claims are bound (%s).", since(d.began))
	d.done("In place of the containers, the demo has written a file with the name of its pod into each directory.")
	return nil
}

func (d *demo) uninstallChart(ctx context.Context) error {
	if err := d.kubectl(ctx, "delete", "statefulset", "-l", ofRelease); err != nil {
		return err
	}
	pods := d.cp.Client().CoreV1().Pods(d.namespace)
	if err := testkit.Poll(ctx, "the deletion of the pods", func(ctx context.Context) error {
		list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: ofRelease})
		if err == nil && len(list.Items) > 0 {
			err = fmt.Errorf("%d pods exist", len(list.Items))
		}
		return err
	}); err != nil {
		return err
	}
	if err := d.kubectl(ctx, "delete", "pvc", "--all"); err != nil {
		return err
	}
	deleted := time.Now()
	if err := d.spin("waiting for the volumes", func() error { return d.setHas(ctx, 0) }); err != nil {
		return err
	}
	d.explain("Without Weir the PersistentVolumes stay Released, and new claims of the same names stay Pending.")
	set, err := d.volumes.weir.StorageV1alpha1().KafkaLocalVolumeSets(d.namespace).Get(ctx, volumeSet, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, v := range set.Status.Volumes {
		if v.Phase != storagev1alpha1.PhaseAvailable {
			return fmt.Errorf("volume %s is %s, want Available", v.Claim, v.Phase)
		}
	}
	d.done("All nine PersistentVolumes are Available again, each for its own claim only (%s).", since(deleted))
	return nil
}

// reinstallChart compares the records in the directories of each pod with its name.
func (d *demo) reinstallChart(ctx context.Context) error {
	mounts, err := d.chartRuns(ctx)
	if err != nil {
		return err
	}
	rows := [][]string{{"POD", "CLAIM", "FOUND IN ITS DIRECTORY"}}
	for _, m := range mounts {
		content, err := os.ReadFile(filepath.Join(m.directory, recordsFile))
		if err != nil {
			return err
		}
		if want := "records of " + m.pod; string(content) != want {
			return fmt.Errorf("claim %s of %s has %q, want %q", m.claim, m.pod, content, want)
		}
		rows = append(rows, []string{m.pod, m.claim, d.screen.paint(green, string(content))})
	}
	slices.SortFunc(rows[1:], slices.Compare[[]string])
	d.rows(rows)
	d.done("9 of 9 directories belong to their pod (%s).", since(d.began))
	return nil
}
