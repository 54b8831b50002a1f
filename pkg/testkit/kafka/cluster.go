// Package kafka runs real Kafka brokers for tests, as processes on loopback with their data in a directory of the
// test.
//
//	cluster := kafka.Start(t, kafka.Options{Brokers: 3})
//	topic := cluster.CreateTopic(t, "orders", 6)
//	cluster.Produce(t, topic, "a", "b")
//	cluster.Nodes[0].Stop(syscall.SIGTERM)
//
// It needs java and mvn; see [Require]. [NewNode] runs nodes with other listeners or roles.
package kafka

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-dev/weir/pkg/testkit"
)

// Options describe a cluster.
type Options struct {
	// Brokers is the number of nodes, with the ids 0, 1, …; each is broker and controller. The default is 1.
	Brokers int
	// Properties are appended to each broker's server.properties.
	Properties string
	// Users adds a listener with SASL/PLAIN for these users and their passwords, and an authorizer: a user may do only
	// what an ACL allows. Clients of the plaintext listener are super users.
	Users map[string]string
	// JVMOptions override the brokers' JVM options, for example -Xmx512m (the default is 256m).
	JVMOptions []string
}

// Cluster is a set of running brokers with plaintext listeners. The replication factor of topics is the number of
// brokers, at most 3; min.insync.replicas is one less, at least 1.
type Cluster struct {
	Nodes []*Node
	// Ports are the brokers' ports by node id.
	Ports []int
	// UserPorts are the ports of the listener for Options.Users, by node id.
	UserPorts []int
	// Client and Admin are connected to the cluster.
	Client *kgo.Client
	Admin  *kadm.Client

	replicas int
}

// Start runs a cluster until the test ends. It skips the test when no broker can run; see [Require].
func Start(t testing.TB, options Options) *Cluster {
	t.Helper()
	Require(t)
	cluster, err := New(t.Context(), t.TempDir(), options)
	require.NoError(t, err)
	t.Cleanup(cluster.Stop)
	return cluster
}

// New runs a cluster with its data in dir until Stop is called, for clusters that several tests share.
func New(ctx context.Context, dir string, options Options) (*Cluster, error) {
	c := &Cluster{replicas: min(max(options.Brokers, 1), 3)}
	count := max(options.Brokers, 1)
	controllers := make([]int, count)
	voters := make([]string, count)
	for id := range count {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		if controllers[id], err = FreePort(); err != nil {
			return nil, err
		}
		c.Ports = append(c.Ports, port)
		voters[id] = fmt.Sprintf("%d@127.0.0.1:%d", id, controllers[id])
	}
	for id := range count {
		properties := c.properties(id, controllers[id], strings.Join(voters, ","))
		if len(options.Users) > 0 {
			users, err := c.userListener(id, controllers[id], options.Users)
			if err != nil {
				c.Stop()
				return nil, err
			}
			properties += users
		}
		node, err := NewNode(ctx, filepath.Join(dir, "kafka"), NodeConfig{
			Name:       fmt.Sprintf("broker-%d", id),
			Properties: properties + options.Properties,
			JVMOptions: options.JVMOptions,
		})
		if err != nil {
			c.Stop()
			return nil, err
		}
		c.Nodes = append(c.Nodes, node)
		if err := node.Start(); err != nil {
			c.Stop()
			return nil, err
		}
	}
	if err := c.connect(ctx); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

func (c *Cluster) properties(id, controllerPort int, voters string) string {
	return fmt.Sprintf(`process.roles=broker,controller
node.id=%[1]d
controller.quorum.voters=%[2]s
listeners=PLAINTEXT://127.0.0.1:%[3]d,CONTROLLER://127.0.0.1:%[4]d
advertised.listeners=PLAINTEXT://127.0.0.1:%[3]d
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
num.partitions=3
default.replication.factor=%[5]d
min.insync.replicas=%[6]d
offsets.topic.replication.factor=%[5]d
transaction.state.log.replication.factor=%[5]d
transaction.state.log.min.isr=%[6]d
`, id, voters, c.Ports[id], controllerPort, c.replicas, max(c.replicas-1, 1))
}

// userListener returns the properties of the listener for users. They override those of the plaintext listener.
func (c *Cluster) userListener(id, controllerPort int, users map[string]string) (string, error) {
	port, err := FreePort()
	if err != nil {
		return "", err
	}
	c.UserPorts = append(c.UserPorts, port)
	var entries strings.Builder
	for _, user := range slices.Sorted(maps.Keys(users)) {
		fmt.Fprintf(&entries, " user_%s=\"%s\"", user, users[user])
	}
	return fmt.Sprintf(`listeners=PLAINTEXT://127.0.0.1:%[1]d,USERS://127.0.0.1:%[2]d,CONTROLLER://127.0.0.1:%[3]d
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]d,USERS://127.0.0.1:%[2]d
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,USERS:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
listener.name.users.sasl.enabled.mechanisms=PLAIN
listener.name.users.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required%[4]s;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
`, c.Ports[id], port, controllerPort, entries.String()), nil
}

// connect waits until all brokers are registered.
func (c *Cluster) connect(ctx context.Context) error {
	// By default a client takes up to 5 s to see a new topic, which a test would measure as the time of what it tests.
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(c.Bootstrap(), ",")...), kgo.MetadataMinAge(50*time.Millisecond),
	)
	if err != nil {
		return err
	}
	c.Client, c.Admin = client, kadm.NewClient(client)
	return c.Ready(ctx)
}

// Ready waits until every broker accepts connections and is registered, for example after a restart.
func (c *Cluster) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, port := range c.Ports {
		if err := Listening(ctx, port); err != nil {
			return err
		}
	}
	return testkit.Poll(ctx, "all brokers to register", func(ctx context.Context) error {
		brokers, err := c.Admin.ListBrokers(ctx)
		if err == nil && len(brokers) != len(c.Ports) {
			err = fmt.Errorf("%d of %d brokers are registered", len(brokers), len(c.Ports))
		}
		return err
	})
}

// Bootstrap returns the brokers' addresses, separated by commas.
func (c *Cluster) Bootstrap() string {
	addresses := make([]string, len(c.Ports))
	for id, port := range c.Ports {
		addresses[id] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	return strings.Join(addresses, ",")
}

// Stop kills all brokers and closes the clients.
func (c *Cluster) Stop() {
	if c.Client != nil {
		c.Client.Close()
	}
	for _, node := range c.Nodes {
		node.Stop(syscall.SIGKILL)
	}
}
