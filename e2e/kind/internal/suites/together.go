package suites

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
	"github.com/weir-dev/weir/e2e/kind/internal/env"
	"github.com/weir-dev/weir/e2e/kind/internal/suite"
)

const (
	togetherNamespace = "e2e-together"
	// brokerSet is the name of the KafkaLocalVolumeSet in manifests/together.yaml.
	brokerSet = "kafka"
	// brokerClaims are the storage of brokers with a claim each.
	brokerClaims = `volumes: []
  volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      accessModes: [ReadWriteOnce]
      storageClassName: local-storage
      resources: {requests: {storage: 1Gi}}`
	// delivery is longer than the brokers are uninstalled.
	delivery = 10 * time.Minute
	// quotadPID is the file with the process id of quotad on a server.
	quotadPID = "/run/quotad.pid"
)

// combined is the state of the suite together.
type combined struct {
	*replicas
	brokers brokers
	kills   kills
	figures figures
	// lost is the node that was lost.
	lost string
}

func (e *environment) together(ctx context.Context, r *suite.Results) error {
	c := &combined{
		replicas: e.replicasIn(togetherNamespace),
		brokers:  brokers{togetherNamespace, 3, clusterID(), "", brokerClaims},
	}
	defer func() {
		c.stopKilling()
		r.Table(c.table())
	}()
	return steps(ctx, r, []step{
		{"four services, and quotad on three GlusterFS servers, are installed", 2 * setupLimit, c.setUp},
		{"three brokers run on the volumes of a KafkaLocalVolumeSet", setupLimit, c.startBrokers},
		{"connectors share a volume of the StorageClass of a KadaluStorage", setupLimit, c.startConnectors},
		{"QuotaEnforced is what the kernel of the GlusterFS servers permits", stepLimit, c.quotaReported},
		{"localVolumePolicy Deny keeps a broker on the node of its volume", stepLimit, c.pinned},
		{
			"every worker is drained while pods of all services are deleted",
			2 * drainLimit,
			func(step context.Context) (string, error) {
				c.startKilling(ctx)
				return c.drainWorkers(step)
			},
		},
		{"uninstall the brokers with all claims and install again", setupLimit, c.reinstall},
		{"every service is upgraded to another image", setupLimit, c.upgrade},
		{"a node is lost for good", 2 * stepLimit, c.loseNode},
		{"the connectors lost no record between topic and file", setupLimit, c.fileTally},
		{"no record is lost, no partition offline, no directory given to another replica", stepLimit, c.tally},
	})
}

// setUp installs the services and starts the servers.
func (c *combined) setUp(ctx context.Context) (string, error) {
	workers, err := c.workers(ctx)
	if err != nil {
		return "", err
	}
	if len(workers) != 3 {
		return "", fmt.Errorf("the cluster has %d workers, want 3; delete the kept cluster with make e2e-clean", len(workers))
	}
	if err := c.glusterEarlierRun(ctx, togetherNamespace); err != nil {
		return "", err
	}
	disks, err := c.localDisks(ctx)
	if err != nil {
		return "", err
	}
	for _, service := range []string{"connect-scheduler", "drain-cleaner"} {
		if err := c.install(ctx, service); err != nil {
			return "", err
		}
	}
	version, err := c.glusterServe(ctx)
	if err != nil {
		return "", err
	}
	if _, err := c.glusterInstall(ctx); err != nil {
		return "", err
	}
	if _, err := c.glusterStorage(ctx); err != nil {
		return "", err
	}
	if _, err := c.glusterCommand(ctx, glusterServers[0], "volume", "set", glusterVolume, "user.weir.dev/managed",
		"on"); err != nil {
		return "", err
	}
	for _, server := range glusterServers {
		if err := c.cluster.StartDaemon(ctx, server, quotadPID, "quotad", "standalone"); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("disks on %d nodes; %s, quotad standalone", disks, version), c.quotadRuns(ctx)
}

// startBrokers creates the volumes, and brokers that use them.
func (c *combined) startBrokers(ctx context.Context) (string, error) {
	if err := c.threeBrokers(ctx, c.brokers, delivery, func(ctx context.Context) error {
		if err := c.ApplyFile(ctx, c.namespace, "together.yaml"); err != nil {
			return err
		}
		return c.setHas(ctx, brokerSet, 3, 0)
	}); err != nil {
		return "", err
	}
	return "each in the directory of its claim", c.onVolumes(ctx)
}

// onVolumes verifies that three brokers are Ready and in the directories of their claims, and that all replicas are in
// sync.
func (c *combined) onVolumes(ctx context.Context) error {
	if err := c.recordPods(ctx, "app=kafka", 3); err != nil {
		return err
	}
	if err := c.setHas(ctx, brokerSet, 3, 3); err != nil {
		return err
	}
	if err := c.recordDirectories(ctx, "kafka", "local-storage", basePath); err != nil {
		return err
	}
	return c.synced(ctx, c.namespace, stepLimit)
}

func (c *combined) startConnectors(ctx context.Context) (string, error) {
	if err := c.ApplyFile(ctx, c.namespace, "connect-drain.yaml"); err != nil {
		return "", err
	}
	if err := c.shareConnectors(ctx, c.namespace, glusterClass); err != nil {
		return "", err
	}
	visible, err := c.fileVisible(ctx, c.namespace)
	if err != nil {
		return "", err
	}
	relayed, err := c.relay(ctx, c.namespace)
	return "a file of one is read " + visible + "; " + relayed, err
}

// quotaReported makes the storage wait for the limits of quotad. Not every kernel has quota for XFS. Then the storage
// and quotad have to say that sizes are not enforced.
func (c *combined) quotaReported(ctx context.Context) (string, error) {
	mounts, err := c.cluster.ExecServer(ctx, glusterServers[0], "cat", "/proc/mounts")
	if err != nil {
		return "", err
	}
	limited := false
	for line := range strings.Lines(mounts) {
		if fields := strings.Fields(line); len(fields) > 3 && fields[1] == "/bricks" {
			limited = strings.Contains(fields[3], "prjquota")
		}
	}
	storages := c.Weir.KadaluV1alpha1().KadaluStorages("default")
	if _, err := storages.Patch(ctx, glusterStorage, types.MergePatchType, []byte(`{"spec":{"quota":"External"}}`),
		metav1.PatchOptions{}); err != nil {
		return "", err
	}
	status, reason := metav1.ConditionFalse, kadaluv1alpha1.ReasonNotAllEnforced
	cause, state := "does not show the limit", " Unsupported "
	if limited {
		status, reason = metav1.ConditionTrue, kadaluv1alpha1.ReasonAllEnforced
		cause, state = "1 sizes are enforced", " Enforced "
	}
	var found *metav1.Condition
	if err := env.Until(ctx, "the condition QuotaEnforced", func(ctx context.Context) error {
		ks, err := storages.Get(ctx, glusterStorage, metav1.GetOptions{})
		if err != nil {
			return err
		}
		found = meta.FindStatusCondition(ks.Status.Conditions, kadaluv1alpha1.ConditionQuotaEnforced)
		if found == nil || found.Status != status || found.Reason != string(reason) ||
			!strings.Contains(found.Message, cause) {
			return fmt.Errorf("the condition is %+v, want %s with reason %s and %q", found, status, reason, cause)
		}
		return nil
	}); err != nil {
		return "", err
	}
	for _, server := range glusterServers {
		// The exit code is 2 if a brick cannot be used.
		out, err := c.cluster.ExecServer(ctx, server, "sh", "-c", "quotad check || [ $? = 2 ]")
		if err != nil {
			return "", err
		}
		if !strings.Contains(out, state) {
			return "", fmt.Errorf("quotad check on %s prints %q, want the state%s", server, oneLine(out, 300), state)
		}
	}
	return fmt.Sprintf("quota in the kernel: %t; %s/%s: %s", limited, found.Status, found.Reason,
		oneLine(found.Message, 110)), nil
}

// pinned evicts a broker of a cordoned node while the policy denies it for the sake of its volume.
func (c *combined) pinned(ctx context.Context) (string, error) {
	if err := c.selfCheck(ctx, c.namespace, drainv1alpha1.LocalVolumeDeny); err != nil {
		return "", err
	}
	const broker = "kafka-0"
	node := c.directories["data-"+broker].node
	if _, err := c.Kubectl(ctx, "cordon", node); err != nil {
		return "", err
	}
	defer c.uncordon(ctx, node)
	denial := ""
	if err := env.Until(ctx, "the denial", func(ctx context.Context) error {
		err := c.Kube.PolicyV1().Evictions(c.namespace).Evict(ctx, &policyv1.Eviction{
			ObjectMeta:    metav1.ObjectMeta{Name: broker, Namespace: c.namespace},
			DeleteOptions: &metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}},
		})
		if err == nil {
			return errors.New("the eviction is allowed")
		}
		if !strings.Contains(err.Error(), string(drainv1alpha1.ReasonPodPinnedToNode)) ||
			!strings.Contains(err.Error(), "data-"+broker) {
			return err
		}
		_, denial, _ = strings.Cut(err.Error(), "denied the request: ")
		return nil
	}); err != nil {
		return "", err
	}
	return oneLine(denial, 110), c.selfCheck(ctx, c.namespace, drainv1alpha1.LocalVolumeAllowPending)
}
