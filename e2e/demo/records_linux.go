package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/kafka"
	"github.com/weir-dev/weir/pkg/testkit/kubelet"
)

const (
	// recordsNamespace has the connector with real pods. The fake runner does not watch it.
	recordsNamespace = "kafka-connect-real"
	recordsConnector = "numbers"
	recordsTasks     = 2
	// recordsImage, recordsLabel and BOOTSTRAP are in records.yaml.
	recordsImage = "weir/connect-runner:demo"
	recordsLabel = "weir.dev/demo"
)

// records are a broker, and a node whose pods are processes of this machine.
type records struct {
	// missing is what real records need and this machine does not have.
	missing string
	// started receives the error of the start of the broker, which begins with the first chapter.
	started chan error
	broker  *kafka.Cluster
	node    *kubelet.Node
}

// initPods makes this program able to start pods as processes.
func initPods() { kubelet.Init() }

func (r *records) close() {
	if r.node != nil {
		r.node.Stop()
	}
	if r.started != nil {
		// The start may still go on. How it ends does not matter.
		for range r.started {
			continue
		}
	}
	if r.broker != nil {
		r.broker.Stop()
	}
}

// movesRecords reports whether a chosen chapter moves real records.
func (d *demo) movesRecords() bool {
	return slices.ContainsFunc(d.chapters, func(c chapter) bool { return c.name == connectChapter.name })
}

// buildRecords builds the programs for real records, or finds out what is missing.
func (d *demo) buildRecords(ctx context.Context) error {
	if !d.movesRecords() {
		return nil
	}
	return d.spin("building connect-runner and fetching a broker, with Maven", func() error {
		d.records.missing = d.missingForRecords(ctx)
		return ctx.Err()
	})
}

// prepareRecords begins to start the broker, beside the steps before the one that needs it.
func (d *demo) prepareRecords(ctx context.Context) {
	if !d.movesRecords() || d.records.missing != "" {
		return
	}
	r, dir := &d.records, filepath.Join(d.cp.Dir(), "records")
	r.started = make(chan error, 1)
	go func() {
		defer close(r.started)
		err := os.MkdirAll(dir, 0o755)
		if err == nil {
			r.broker, err = kafka.New(ctx, dir, kafka.Options{})
		}
		r.started <- err
	}()
}

// moveRecords moves records with the real connect-runner. Without the programs for it, it prints what is missing.
func (d *demo) moveRecords(ctx context.Context) error {
	if d.records.missing != "" {
		d.explain("Skipped, connect-runner is only simulated: %s.", d.records.missing)
		return nil
	}
	if err := d.spin("starting a Kafka broker", func() error { return <-d.records.started }); err != nil {
		return err
	}
	if err := d.addNode(ctx); err != nil {
		return err
	}
	if err := d.createNumbers(ctx); err != nil {
		return err
	}
	var first tally
	if err := d.spin("waiting for the first records", func() error {
		return testkit.Poll(ctx, "records", func(ctx context.Context) (err error) {
			if first, err = d.tally(ctx); err == nil && len(first.seen) < recordsTasks {
				err = fmt.Errorf("%d of %d tasks have written records", len(first.seen), recordsTasks)
			}
			return err
		})
	}); err != nil {
		return errors.Join(err, errors.New(d.explainRecords(ctx)))
	}
	d.done("Each task is a process in a pod and writes to the topic numbers (%s). The last records:", since(d.began))
	d.screen.line("%s", indent+strings.Join(first.last, "  "))

	d.began = time.Now()
	if err := d.killTask(ctx); err != nil {
		return errors.Join(err, errors.New(d.explainRecords(ctx)))
	}
	now, err := d.tally(ctx)
	if err != nil {
		return err
	}
	if missing := now.missing(); missing > 0 {
		return fmt.Errorf("%d records are missing", missing)
	}
	d.done("Task 1 was killed and its container restarted (%s): %d records, 0 missing, %d written twice.",
		since(d.began), now.count, now.twice())
	return nil
}

// missingForRecords returns what real records need and this machine does not have.
func (d *demo) missingForRecords(ctx context.Context) string {
	if os.Getuid() != 0 {
		return "pods as processes need root, and the demo does not run as root"
	}
	run := func(name string, args ...string) error {
		var output bytes.Buffer
		command := exec.CommandContext(ctx, name, args...)
		command.Dir, command.Stdout, command.Stderr = d.root, &output, &output
		if err := command.Run(); err != nil {
			return errors.New(strings.TrimSpace(output.String()))
		}
		return nil
	}
	if err := run(filepath.Join("services", "connect-runner", "scripts", "tools")); err != nil {
		return strings.TrimPrefix(err.Error(), "connect-runner: ")
	}
	if err := run("make", "connect-runner-jvm", "connect-runner-harness"); err != nil {
		lines := strings.Split(err.Error(), "\n")
		return "make connect-runner-jvm failed: " + lines[len(lines)-1]
	}
	if _, err := kafka.Jars(ctx); err != nil {
		line, _, _ := strings.Cut(err.Error(), "\n")
		return line
	}
	if err := env.Build(ctx, d.root, "connect-runner"); err != nil {
		return err.Error()
	}
	return ""
}

// addNode adds a node that runs pods as processes.
func (d *demo) addNode(ctx context.Context) error {
	var err error
	jvm := filepath.Join(d.root, "services", "connect-runner", "jvm")
	d.records.node, err = kubelet.New(ctx, d.cp, filepath.Join(d.cp.Dir(), "records"), kubelet.Config{
		Labels: map[string]string{recordsLabel: "processes"},
		Ports:  d.records.broker.Ports,
		Images: map[string]kubelet.Image{recordsImage: {
			Files: map[string]string{
				"/usr/local/bin/connect-runner": filepath.Join(d.root, "bin", "connect-runner"),
				"/opt/weir/runner/lib":          filepath.Join(jvm, "runner", "target", "lib"),
				"/usr/share/java/test":          filepath.Join(jvm, "testplugin", "target", "plugins"),
			},
			Entrypoint: []string{"connect-runner"}, User: 65532,
		}},
	})
	if err != nil {
		return err
	}
	// Pods of the other steps stay on the simulated nodes.
	taint := `{"spec":{"taints":[{"key":"` + recordsLabel + `","effect":"NoSchedule"}]}}`
	_, err = d.cp.Client().CoreV1().Nodes().Patch(ctx, d.records.node.Name, types.MergePatchType, []byte(taint),
		metav1.PatchOptions{})
	return err
}

func (d *demo) tally(ctx context.Context) (tally, error) {
	return readTally(ctx, d.records.broker.Admin, d.records.broker.Bootstrap(), recordsConnector)
}

func (d *demo) createNumbers(ctx context.Context) error {
	const file = "e2e/demo/records.yaml"
	if _, err := d.records.broker.Admin.CreateTopic(ctx, 2, 1, nil, recordsConnector); err != nil {
		return fmt.Errorf("create the topic: %w", err)
	}
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: recordsNamespace}}
	if _, err := d.cp.Client().CoreV1().Namespaces().Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create namespace %s: %w", recordsNamespace, err)
	}
	d.screen.line(indent+"%s", d.screen.paint(cyan, "$ kubectl -n "+recordsNamespace+" apply -f "+file))
	manifest, err := os.ReadFile(filepath.Join(d.root, file))
	if err != nil {
		return err
	}
	_, err = d.cp.ApplyYAML(ctx, recordsNamespace,
		strings.ReplaceAll(string(manifest), "BOOTSTRAP", d.records.broker.Bootstrap()))
	return err
}

// killTask kills a task and waits until its container runs again and both tasks have written more records.
func (d *demo) killTask(ctx context.Context) error {
	const pod = recordsConnector + "-tasks-1"
	if err := d.records.node.Signal(recordsNamespace, pod, syscall.SIGKILL); err != nil {
		return err
	}
	before, err := d.tally(ctx)
	if err != nil {
		return err
	}
	return d.spin("task 1 is killed", func() error {
		return testkit.Poll(ctx, "task 1", func(ctx context.Context) error {
			p, err := d.cp.Client().CoreV1().Pods(recordsNamespace).Get(ctx, pod, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if len(p.Status.ContainerStatuses) == 0 || p.Status.ContainerStatuses[0].RestartCount == 0 {
				return fmt.Errorf("the container of %s has not restarted", pod)
			}
			now, err := d.tally(ctx)
			if err == nil && len(now.seen["1"]) <= len(before.seen["1"])+100 {
				err = errors.New("task 1 has not written records again")
			}
			return err
		})
	})
}

// explainRecords returns the state of the connector and the end of the log of a task.
func (d *demo) explainRecords(ctx context.Context) string {
	ctx = context.WithoutCancel(ctx)
	out, _ := d.cp.Kubectl(ctx, "get", "kafkaconnectors,pods", "-n", recordsNamespace, "-o", "wide")
	log := strings.Split(d.records.node.Log(recordsNamespace, recordsConnector+"-tasks-0", "task"), "\n")
	return out + strings.Join(log[max(0, len(log)-10):], "\n")
}
