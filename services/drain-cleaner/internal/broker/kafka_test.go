package broker_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit"
)

// skip says why, except where everything has to be there.
func skip(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// jars of a broker, fetched once into the user's cache directory.
func jars(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			skip(t, "real brokers need %s: %v", program, err)
		}
	}
	pom, err := os.ReadFile("testdata/pom.xml")
	require.NoError(t, err)
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	sum := sha256.Sum256(pom)
	dir := filepath.Join(cache, "weir", "kafka-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	require.NoError(t, os.MkdirAll(filepath.Dir(dir), 0o755))
	// Under another name until all is there, so that a torn download is not taken for a broker.
	partial, err := os.MkdirTemp(filepath.Dir(dir), "kafka-")
	require.NoError(t, err)
	defer os.RemoveAll(partial)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "mvn", "-B", "-q", "-f", "testdata/pom.xml", "dependency:copy-dependencies", "-DoutputDirectory="+partial)
	if output, err := command.CombinedOutput(); err != nil {
		skip(t, "fetch the broker from Maven Central: %v: %s", err, output)
	}
	if err := os.Rename(partial, dir); err != nil && !os.IsExist(err) {
		if _, there := os.Stat(dir); there != nil {
			require.NoError(t, err)
		}
	}
	return dir
}

const clusterID = "weirweirweirweirweirwA"

// node is a process of Kafka, which ends with the test.
type node struct {
	t         *testing.T
	jars, dir string
	name      string
	process   *exec.Cmd
}

// newNode formats its directory; options are those of kafka-storage.
func newNode(t *testing.T, jars, dir, name, properties string, options ...string) *node {
	t.Helper()
	n := &node{t: t, jars: jars, dir: dir, name: name}
	properties += fmt.Sprintf("log.dirs=%s\n", filepath.Join(dir, name)) + small
	require.NoError(t, os.WriteFile(n.file(), []byte(properties), 0o600))
	output, err := n.java("kafka.tools.StorageTool", append([]string{"format", "-t", clusterID, "-c", n.file()}, options...)...).CombinedOutput()
	require.NoError(t, err, string(output))
	t.Cleanup(func() { n.stop(syscall.SIGKILL) })
	return n
}

// small suits a machine that has other things to do.
const small = `offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
unclean.leader.election.enable=false
controlled.shutdown.enable=true
group.initial.rebalance.delay.ms=0
log.cleaner.enable=false
num.network.threads=1
num.io.threads=2
background.threads=2
`

func (n *node) file() string { return filepath.Join(n.dir, n.name+".properties") }

func (n *node) java(class string, args ...string) *exec.Cmd {
	options := []string{"-Xms96m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true", "-cp", filepath.Join(n.jars, "*"), class}
	return exec.Command("java", append(options, args...)...)
}

func (n *node) start() {
	process := n.java("kafka.Kafka", n.file())
	log, err := os.OpenFile(n.file()+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(n.t, err)
	defer log.Close()
	process.Stdout, process.Stderr = log, log
	require.NoError(n.t, process.Start())
	n.process = process
}

// signal is sent without waiting for what comes of it.
func (n *node) signal(signal syscall.Signal) { require.NoError(n.t, n.process.Process.Signal(signal)) }

// stop ends a broker, as a pod's end does with SIGTERM, and waits for its end.
func (n *node) stop(signal syscall.Signal) {
	process := n.process
	if process == nil {
		return
	}
	n.process = nil
	// An error says that it has ended already.
	_ = process.Process.Signal(signal)
	_ = process.Wait()
}

func listening(t *testing.T, port int) {
	t.Helper()
	testkit.Eventually(t, 90*time.Second, func(context.Context) error {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			c.Close()
		}
		return err
	})
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// kafka is three brokers, each a controller too.
type kafka struct {
	ports [3][2]int
	nodes [3]*node
}

func startKafka(t *testing.T) *kafka {
	t.Helper()
	k, dir, jars := &kafka{}, t.TempDir(), jars(t)
	var voters []string
	for id := range k.ports {
		k.ports[id] = [2]int{freePort(t), freePort(t)}
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", id, k.ports[id][1]))
	}
	for id := range k.nodes {
		k.nodes[id] = newNode(t, jars, dir, fmt.Sprintf("broker-%d", id), fmt.Sprintf(`process.roles=broker,controller
node.id=%[1]d
controller.quorum.voters=%[2]s
listeners=PLAINTEXT://127.0.0.1:%[3]d,CONTROLLER://127.0.0.1:%[4]d
advertised.listeners=PLAINTEXT://127.0.0.1:%[3]d
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
num.partitions=6
default.replication.factor=3
min.insync.replicas=2
`, id, strings.Join(voters, ","), k.ports[id][0], k.ports[id][1]))
		k.nodes[id].start()
	}
	return k
}

func (k *kafka) bootstrap() string {
	all := make([]string, len(k.ports))
	for id, p := range k.ports {
		all[id] = fmt.Sprintf("127.0.0.1:%d", p[0])
	}
	return strings.Join(all, ",")
}
