package suites

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weir-dev/weir/e2e/kind/internal/env"
)

// verify waits until all pods run, compares their directories with their names, counts all records of earlier
// installations, and writes new ones.
func (c *chart) verify(ctx context.Context) (string, error) {
	if err := c.recordPods(ctx); err != nil {
		return "", err
	}
	if err := c.setHas(ctx, 9, 9); err != nil {
		return "", err
	}
	if err := c.verifyDirectories(ctx); err != nil {
		return "", err
	}
	if err := c.verifyRecords(ctx); err != nil {
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

// recordPods waits until the six pods are Ready, and records the uids of new ones.
func (c *chart) recordPods(ctx context.Context) error {
	return env.Until(ctx, "three brokers and three ZooKeeper servers", func(ctx context.Context) error {
		pods, err := c.Pods(ctx, volumesNamespace, "release="+release)
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
		if ready != 6 {
			return fmt.Errorf("%d pods are Ready, want 6", ready)
		}
		for name, pod := range pods {
			if !slices.Contains(c.pods[name], pod.UID) {
				c.pods[name] = append(c.pods[name], pod.UID)
			}
		}
		return nil
	})
}

// verifyDirectories reads the directories on the nodes. The file pods of each must list exactly the pods that its claim
// was for, in their order.
func (c *chart) verifyDirectories(ctx context.Context) error {
	var wrong []error
	for _, claim := range slices.Sorted(maps.Keys(c.nodes)) {
		pod := podOf(claim)
		used, err := c.podsIn(ctx, claim)
		if err != nil {
			return err
		}
		var want []string
		for _, uid := range c.pods[pod] {
			want = append(want, pod+" "+string(uid))
		}
		if !slices.Equal(used, want) {
			wrong = append(wrong, fmt.Errorf("%s on %s was used by %v, want %v", claim, c.nodes[claim], used, want))
		}
	}
	return errors.Join(wrong...)
}

// podsIn returns the lines of the file pods of a directory. A container that restarts adds a line once more.
func (c *chart) podsIn(ctx context.Context, claim string) ([]string, error) {
	content, err := c.cluster.Exec(ctx, c.nodes[claim], "cat", basePath+"/"+claim+"/pods")
	if err != nil {
		return nil, err
	}
	return slices.Compact(strings.Split(strings.TrimSpace(content), "\n")), nil
}

// verifyRecords counts the records of all earlier installations. The topic has one replica: a broker with another
// directory would lose its partitions.
func (c *chart) verifyRecords(ctx context.Context) error {
	if c.installations == 0 {
		return nil
	}
	return env.Until(ctx, "all records", func(ctx context.Context) error {
		tally, err := c.Count(ctx, volumesNamespace, "records")
		if err != nil {
			return err
		}
		if want := int64(c.installations * produced); tally.Records != want || tally.Distinct != want {
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

// write writes records and znodes with the number of the installation.
func (c *chart) write(ctx context.Context) error {
	load := []string{"exec", "-n", volumesNamespace, "load", "--", "load"}
	if err := env.Until(ctx, "the topic", func(ctx context.Context) error {
		_, err := c.Kubectl(ctx, append(load, "topic", "--topic=records", "--partitions=6", "--replicas=1")...)
		return err
	}); err != nil {
		return err
	}
	out, err := c.Kubectl(ctx, append(load, "produce", "--topic=records", "--rate=1000",
		fmt.Sprintf("--records=%d", produced), fmt.Sprintf("--prefix=%d", c.installations))...)
	if err != nil {
		return err
	}
	if want := fmt.Sprintf(`{"acknowledged":%d,"refused":0}`, produced); !strings.Contains(out, want) {
		return fmt.Errorf("the producer printed %s, want %s", oneLine(out, 200), want)
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

// table has a row for each directory, with all pods that have used it.
func (c *chart) table(ctx context.Context) [][]string {
	rows := [][]string{{"DIRECTORY", "NODE", "USED BY", "PODS"}}
	for _, claim := range slices.Sorted(maps.Keys(c.nodes)) {
		names, uids := map[string]bool{}, map[types.UID]bool{}
		used, err := c.podsIn(ctx, claim)
		if err != nil {
			names[err.Error()] = true
		}
		for _, line := range used {
			name, uid, _ := strings.Cut(line, " ")
			names[name], uids[types.UID(uid)] = true, true
		}
		rows = append(rows, []string{basePath + "/" + claim, c.nodes[claim],
			strings.Join(slices.Sorted(maps.Keys(names)), ", "), fmt.Sprint(len(uids))})
	}
	return rows
}
