package suites

import (
	"context"
	"fmt"
)

const (
	// scheduled is the name of the StatefulSet in manifests/scheduled.yaml, and of its topic.
	scheduled = "scheduled"
	// scheduledClass is the StorageClass of its claims, which is an example in deploy/.
	scheduledClass = "weir-local"
)

// installScheduled uninstalls the release, whose directories must not change any more, and installs brokers whose
// claims no set describes.
func (c *chart) installScheduled(ctx context.Context) (string, error) {
	if err := c.uninstall(ctx, func(context.Context) error { return nil }); err != nil {
		return "", err
	}
	if _, err := c.Kubectl(ctx, "apply", "-f", "deploy/examples/volume-provisioner/storageclass.yaml"); err != nil {
		return "", err
	}
	return c.runScheduled(ctx)
}

func (c *chart) reinstallScheduled(ctx context.Context) (string, error) {
	if err := c.deleteAll(ctx, "release="+scheduled); err != nil {
		return "", err
	}
	return c.runScheduled(ctx)
}

// runScheduled installs the brokers. Each must run on the node of its directory, and find all records of earlier
// installations.
func (c *chart) runScheduled(ctx context.Context) (string, error) {
	if err := c.ApplyFile(ctx, volumesNamespace, "scheduled.yaml", "IDENTITY", c.clusterID); err != nil {
		return "", err
	}
	if err := c.recordPods(ctx, "release="+scheduled, 3); err != nil {
		return "", err
	}
	if err := c.recordDirectories(ctx, scheduled, scheduledClass, basePath+"/"+volumesNamespace); err != nil {
		return "", err
	}
	if err := c.verifyDirectories(ctx); err != nil {
		return "", err
	}
	if err := c.verifyRecords(ctx, scheduled, c.scheduled); err != nil {
		return "", err
	}
	earlier := c.scheduled
	c.scheduled++
	return fmt.Sprintf("3 of 3 directories belong to their pod; %d records of before are there", earlier*produced),
		c.produce(ctx, scheduled, earlier)
}
