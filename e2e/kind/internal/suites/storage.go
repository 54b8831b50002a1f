package suites

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/e2e/kind/internal/env"
	"github.com/weir-dev/weir/e2e/kind/internal/suite"
)

const (
	storageNamespace = "e2e-storage"
	connectName      = "odf-connect-cluster"
	allPods          = "io.confluent.csid.connect.connector"
	sample           = "/mnt/shared/sample"
	numbersFile      = "/mnt/shared/numbers.txt"
)

// sharingConnectors lists the connectors in manifests/storage.yaml with their number of tasks.
var sharingConnectors = map[string]int32{"numbers": 2, "numbers-to-file": 1, "file-to-archive": 1}

func (e *environment) storage(ctx context.Context, r *suite.Results) error {
	if err := e.install(ctx, "connect-scheduler"); err != nil {
		return err
	}
	if err := e.oneBroker(ctx, storageNamespace); err != nil {
		return err
	}
	var claim string
	return steps(ctx, r, []step{
		{"three connectors share one volume across nodes", setupLimit, func(ctx context.Context) (string, error) {
			if err := e.shareVolume(ctx, storageNamespace); err != nil {
				return "", err
			}
			var err error
			claim, err = e.claim(ctx)
			return "claim " + claim, err
		}},
		{"a file written in one pod is visible in all other pods", stepLimit, func(ctx context.Context) (string, error) {
			return e.fileVisible(ctx, storageNamespace)
		}},
		{
			"a task of one connector reads what a task of another connector writes",
			stepLimit,
			func(ctx context.Context) (string, error) {
				return e.relay(ctx, storageNamespace)
			},
		},
		{
			"the claim and its data survive the KafkaConnect and are adopted again",
			setupLimit,
			func(ctx context.Context) (string, error) {
				return e.adopted(ctx, claim)
			},
		},
	})
}

// shareVolume creates a volume and the connectors that share it.
func (e *environment) shareVolume(ctx context.Context, namespace string) error {
	if err := e.sharedVolume(ctx, namespace+"-connect"); err != nil {
		return err
	}
	return e.shareConnectors(ctx, namespace, namespace+"-connect")
}

// shareConnectors creates the connectors. Their volume has a storage class.
func (e *environment) shareConnectors(ctx context.Context, namespace, class string) error {
	if err := e.ApplyFile(ctx, namespace, "storage.yaml", "CLASS", class); err != nil {
		return err
	}
	return e.connectorsRun(ctx, namespace)
}

// connectorsRun waits until all connectors run.
func (e *environment) connectorsRun(ctx context.Context, namespace string) error {
	for name, tasks := range sharingConnectors {
		if _, err := e.Connector(ctx, namespace, name, env.Running(tasks)); err != nil {
			return err
		}
	}
	return nil
}

// claim returns the name and UID of the claim in the status of the KafkaConnect.
func (e *environment) claim(ctx context.Context) (string, error) {
	connect, err := e.Weir.IoV1().KafkaConnects(storageNamespace).Get(ctx, connectName, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	claim, err := e.Kube.CoreV1().
		PersistentVolumeClaims(storageNamespace).
		Get(ctx, connect.Status.Claim, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("read claim %q: %w", connect.Status.Claim, err)
	}
	return claim.Name + " " + string(claim.UID), nil
}

// fileVisible writes a file in one pod and reads it in all.
func (e *environment) fileVisible(ctx context.Context, namespace string) (string, error) {
	const pod = "numbers-tasks-0"
	if _, err := e.Kubectl(ctx, "exec", "-n", namespace, pod, "--", "sh", "-c",
		"echo 'written in "+pod+"' >"+sample); err != nil {
		return "", err
	}
	return e.readSample(ctx, namespace)
}

// readSample reads the file in every pod.
func (e *environment) readSample(ctx context.Context, namespace string) (string, error) {
	pods, err := e.Pods(ctx, namespace, allPods)
	if err != nil {
		return "", err
	}
	var nodes []string
	for name, pod := range pods {
		content, err := e.Kubectl(ctx, "exec", "-n", namespace, name, "--", "cat", sample)
		if err != nil {
			return "", err
		}
		if !strings.HasPrefix(content, "written in") {
			return "", fmt.Errorf("%s reads %q", name, content)
		}
		if !slices.Contains(nodes, pod.Spec.NodeName) {
			nodes = append(nodes, pod.Spec.NodeName)
		}
	}
	return fmt.Sprintf("in %d pods of %d connectors on %d nodes", len(pods), len(sharingConnectors), len(nodes)), nil
}

func (e *environment) relay(ctx context.Context, namespace string) (string, error) {
	tally, err := e.moving(ctx, namespace, "archive", env.Tally{}, 2)
	return fmt.Sprintf("%d records passed through the file", tally.Records), err
}

// deleteConnectors deletes the connectors and their KafkaConnect, and waits until their pods are gone.
func (e *environment) deleteConnectors(ctx context.Context, namespace string) error {
	for name := range sharingConnectors {
		err := e.Weir.IoV1().KafkaConnectors(namespace).Delete(ctx, name, metav1.DeleteOptions{})
		if err != nil {
			return err
		}
	}
	err := e.Weir.IoV1().KafkaConnects(namespace).Delete(ctx, connectName, metav1.DeleteOptions{})
	if err != nil {
		return err
	}
	return e.deleted(ctx, namespace, allPods)
}

func (e *environment) adopted(ctx context.Context, before string) (string, error) {
	if err := e.deleteConnectors(ctx, storageNamespace); err != nil {
		return "", err
	}
	name, _, _ := strings.Cut(before, " ")
	_, err := e.Kube.CoreV1().PersistentVolumeClaims(storageNamespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", errors.New("the claim was deleted with its owner")
	}
	if err := e.shareConnectors(ctx, storageNamespace, storageNamespace+"-connect"); err != nil {
		return "", err
	}
	after, err := e.claim(ctx)
	if err != nil {
		return "", err
	}
	if after != before {
		return "", fmt.Errorf("the claim is %s, want %s", after, before)
	}
	result, err := e.readSample(ctx, storageNamespace)
	return "the file is still visible " + result, err
}
