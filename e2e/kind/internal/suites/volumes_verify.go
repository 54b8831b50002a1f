package suites

import (
	"context"
	"fmt"
	"strings"

	"github.com/weir-dev/weir/e2e/kind/internal/env"
)

// verify waits until all pods run, compares their directories with their names, counts all records of earlier
// installations, and writes new ones.
func (c *chart) verify(ctx context.Context) (string, error) {
	if err := c.recordPods(ctx, "release="+release, 6); err != nil {
		return "", err
	}
	if err := c.setHas(ctx, release, 9, 9); err != nil {
		return "", err
	}
	if err := c.verifyDirectories(ctx); err != nil {
		return "", err
	}
	if err := c.verifyRecords(ctx, "records", c.installations); err != nil {
		return "", err
	}
	if err := c.verifyZnodes(ctx); err != nil {
		return "", err
	}
	earlier := c.installations
	c.installations++
	return fmt.Sprintf("9 of 9 directories belong to their pod; %d records and %d znodes of before are there",
		earlier*produced, earlier*znodes), c.write(ctx)
}

// verifyRecords counts the records of all earlier installations. The topic has one replica: a broker with another
// directory would lose its partitions.
func (c *chart) verifyRecords(ctx context.Context, topic string, installations int) error {
	if installations == 0 {
		return nil
	}
	return env.Until(ctx, "all records", func(ctx context.Context) error {
		tally, err := c.Count(ctx, volumesNamespace, topic)
		if err != nil {
			return err
		}
		if want := int64(installations * produced); tally.Records != want || tally.Distinct != want {
			return fmt.Errorf("the topic has %d records, %d of them different; want %d", tally.Records, tally.Distinct, want)
		}
		return nil
	})
}

// verifyZnodes counts the znodes of all earlier installations on each server.
func (c *chart) verifyZnodes(ctx context.Context) error {
	if c.installations == 0 {
		return nil
	}
	for i := range 3 {
		server := fmt.Sprintf("%s-cp-zookeeper-%d", release, i)
		if err := env.Until(ctx, "all znodes of "+server, func(ctx context.Context) error {
			out, err := c.zookeeper(ctx, server, "echo ls /")
			if err != nil {
				return err
			}
			if n := strings.Count(out, "record-"); n != c.installations*znodes {
				return fmt.Errorf("%s has %d znodes, want %d: %s", server, n, c.installations*znodes, oneLine(out, 200))
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// zookeeper executes the commands that a script prints on a ZooKeeper server.
func (c *chart) zookeeper(ctx context.Context, server, script string) (string, error) {
	script = "{ " + script + "; } | zookeeper-client 2>&1"
	return c.Kubectl(ctx, "exec", "-n", volumesNamespace, server, "--", "sh", "-c", script)
}

// produce writes records with the number of the installation to a topic.
func (c *chart) produce(ctx context.Context, topic string, installation int) error {
	load := []string{"exec", "-n", volumesNamespace, "load", "--", "load"}
	if err := env.Until(ctx, "the topic", func(ctx context.Context) error {
		_, err := c.Kubectl(ctx, append(load, "topic", "--topic="+topic, "--partitions=6", "--replicas=1")...)
		return err
	}); err != nil {
		return err
	}
	out, err := c.Kubectl(ctx, append(load, "produce", "--topic="+topic, "--rate=1000",
		fmt.Sprintf("--records=%d", produced), fmt.Sprintf("--prefix=%d", installation))...)
	if err != nil {
		return err
	}
	if want := fmt.Sprintf(`{"acknowledged":%d,"refused":0}`, produced); !strings.Contains(out, want) {
		return fmt.Errorf("the producer printed %s, want %s", oneLine(out, 200), want)
	}
	return nil
}

// write writes records and znodes with the number of the installation.
func (c *chart) write(ctx context.Context) error {
	if err := c.produce(ctx, "records", c.installations); err != nil {
		return err
	}
	script := fmt.Sprintf("i=0; while [ $i -lt %d ]; do echo create /record-%d-$i; i=$((i + 1)); done", znodes,
		c.installations)
	return env.Until(ctx, "new znodes", func(ctx context.Context) error {
		out, err := c.zookeeper(ctx, release+"-cp-zookeeper-0", script)
		if err != nil {
			return err
		}
		// A znode that an earlier attempt has created counts.
		if n := strings.Count(out, "Created /record-") + strings.Count(out, "Node already exists: /record-"); n != znodes {
			return fmt.Errorf("%d of %d znodes were created: %s", n, znodes, oneLine(out, 200))
		}
		return nil
	})
}
