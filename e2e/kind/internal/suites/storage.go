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
	storageSpace = "e2e-storage"
	sharedBy     = "odf-connect-cluster"
	ofAll        = "io.confluent.csid.connect.connector"
	sample       = "/mnt/shared/sample"
	numbersFile  = "/mnt/shared/numbers.txt"
)

// sharing are the connectors of manifests/storage.yaml and their tasks.
var sharing = map[string]int32{"numbers": 2, "numbers-to-file": 1, "file-to-archive": 1}

func (e *environment) storage(ctx context.Context, p *suite.Proof) error {
	if err := e.install(ctx, "connect-scheduler", "connect-scheduler"); err != nil {
		return err
	}
	if err := e.oneBroker(ctx, storageSpace); err != nil {
		return err
	}
	var claim string
	return steps(ctx, p, []step{
		{"three connectors get one volume between them, on all their nodes", setup, func(ctx context.Context) (string, error) {
			if err := e.shareVolume(ctx, storageSpace); err != nil {
				return "", err
			}
			var err error
			claim, err = e.claim(ctx)
			return "claim " + claim, err
		}},
		{"a file made in one pod is seen in all the others", patience, e.fileIsSeen},
		{"what one connector's task writes, another connector's task reads", patience, e.relay},
		{"the claim outlives its owner, and is adopted again with what is on it", setup, func(ctx context.Context) (string, error) {
			return e.adopted(ctx, claim)
		}},
	})
}

// shareVolume makes a volume and connectors that share it.
func (e *environment) shareVolume(ctx context.Context, namespace string) error {
	if err := e.sharedVolume(ctx, namespace+"-connect"); err != nil {
		return err
	}
	return e.shareConnectors(ctx, namespace)
}

func (e *environment) shareConnectors(ctx context.Context, namespace string) error {
	if err := e.ApplyFile(ctx, namespace, "storage.yaml", "CLASS", namespace+"-connect"); err != nil {
		return err
	}
	for name, tasks := range sharing {
		if _, err := e.Connector(ctx, namespace, name, env.Running(tasks)); err != nil {
			return err
		}
	}
	return nil
}

// claim is the claim that the KafkaConnect names, with its UID.
func (e *environment) claim(ctx context.Context) (string, error) {
	connect, err := e.Weir.IoV1().KafkaConnects(storageSpace).Get(ctx, sharedBy, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	claim, err := e.Kube.CoreV1().PersistentVolumeClaims(storageSpace).Get(ctx, connect.Status.Claim, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("read claim %q: %w", connect.Status.Claim, err)
	}
	return claim.Name + " " + string(claim.UID), nil
}

func (e *environment) fileIsSeen(ctx context.Context) (string, error) {
	if err := e.writeSample(ctx, "numbers-tasks-0"); err != nil {
		return "", err
	}
	return e.readSample(ctx)
}

func (e *environment) writeSample(ctx context.Context, pod string) error {
	_, err := e.Kubectl(ctx, "exec", "-n", storageSpace, pod, "--", "sh", "-c", "echo 'made in "+pod+"' >"+sample)
	return err
}

// readSample looks at the file in every pod.
func (e *environment) readSample(ctx context.Context) (string, error) {
	pods, err := e.Pods(ctx, storageSpace, ofAll)
	if err != nil {
		return "", err
	}
	var nodes []string
	for name, pod := range pods {
		seen, err := e.Kubectl(ctx, "exec", "-n", storageSpace, name, "--", "cat", sample)
		if err != nil {
			return "", err
		}
		if !strings.HasPrefix(seen, "made in") {
			return "", fmt.Errorf("%s sees %q", name, seen)
		}
		if !slices.Contains(nodes, pod.Spec.NodeName) {
			nodes = append(nodes, pod.Spec.NodeName)
		}
	}
	return fmt.Sprintf("by %d pods of %d connectors on %d nodes", len(pods), len(sharing), len(nodes)), nil
}

func (e *environment) relay(ctx context.Context) (string, error) {
	tally, err := e.moving(ctx, storageSpace, "archive", env.Tally{}, 2)
	return fmt.Sprintf("%d records came through the file", tally.Records), err
}

func (e *environment) adopted(ctx context.Context, before string) (string, error) {
	for name := range sharing {
		if err := e.Weir.IoV1().KafkaConnectors(storageSpace).Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			return "", err
		}
	}
	if err := e.Weir.IoV1().KafkaConnects(storageSpace).Delete(ctx, sharedBy, metav1.DeleteOptions{}); err != nil {
		return "", err
	}
	if err := e.gone(ctx, storageSpace, ofAll); err != nil {
		return "", err
	}
	name, _, _ := strings.Cut(before, " ")
	if _, err := e.Kube.CoreV1().PersistentVolumeClaims(storageSpace).Get(ctx, name, metav1.GetOptions{}); apierrors.IsNotFound(err) {
		return "", errors.New("the claim went with its owner")
	}
	if err := e.shareConnectors(ctx, storageSpace); err != nil {
		return "", err
	}
	after, err := e.claim(ctx)
	if err != nil {
		return "", err
	}
	if after != before {
		return "", fmt.Errorf("the claim is another one: %s, it was %s", after, before)
	}
	seen, err := e.readSample(ctx)
	return "the file is still seen " + seen, err
}
