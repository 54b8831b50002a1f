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

// kafka is three brokers, each a controller too.
type kafka struct {
	t         *testing.T
	jars, dir string
	ports     [3][2]int
	processes [3]*exec.Cmd
}

const clusterID = "weirweirweirweirweirwA"

func startKafka(t *testing.T) *kafka {
	t.Helper()
	k := &kafka{t: t, jars: jars(t), dir: t.TempDir()}
	for id := range k.ports {
		for i := range k.ports[id] {
			k.ports[id][i] = freePort(t)
		}
	}
	for id := range k.ports {
		k.configure(id)
		k.start(id)
	}
	t.Cleanup(func() {
		for id := range k.processes {
			k.stop(id, syscall.SIGKILL)
		}
	})
	return k
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (k *kafka) bootstrap() string {
	all := make([]string, len(k.ports))
	for id, p := range k.ports {
		all[id] = fmt.Sprintf("127.0.0.1:%d", p[0])
	}
	return strings.Join(all, ",")
}

func (k *kafka) configure(id int) {
	var voters []string
	for other, p := range k.ports {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", other, p[1]))
	}
	properties := fmt.Sprintf(`process.roles=broker,controller
node.id=%[1]d
controller.quorum.voters=%[2]s
listeners=PLAINTEXT://127.0.0.1:%[3]d,CONTROLLER://127.0.0.1:%[4]d
advertised.listeners=PLAINTEXT://127.0.0.1:%[3]d
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=%[5]s
num.partitions=6
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
unclean.leader.election.enable=false
controlled.shutdown.enable=true
group.initial.rebalance.delay.ms=0
log.cleaner.enable=false
num.network.threads=1
num.io.threads=2
background.threads=2
`, id, strings.Join(voters, ","), k.ports[id][0], k.ports[id][1], filepath.Join(k.dir, fmt.Sprintf("data-%d", id)))
	require.NoError(k.t, os.WriteFile(k.file(id), []byte(properties), 0o600))
	output, err := k.java(id, "kafka.tools.StorageTool", "format", "-t", clusterID, "-c", k.file(id)).CombinedOutput()
	require.NoError(k.t, err, string(output))
}

func (k *kafka) file(id int) string {
	return filepath.Join(k.dir, fmt.Sprintf("broker-%d.properties", id))
}

func (k *kafka) java(_ int, class string, args ...string) *exec.Cmd {
	options := []string{"-Xms96m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true", "-cp", filepath.Join(k.jars, "*"), class}
	return exec.Command("java", append(options, args...)...)
}

func (k *kafka) start(id int) {
	process := k.java(id, "kafka.Kafka", k.file(id))
	log, err := os.OpenFile(k.file(id)+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(k.t, err)
	defer log.Close()
	process.Stdout, process.Stderr = log, log
	require.NoError(k.t, process.Start())
	k.processes[id] = process
}

// stop ends a broker, as a pod's end does with SIGTERM, and waits for its end.
func (k *kafka) stop(id int, signal syscall.Signal) {
	process := k.processes[id]
	if process == nil {
		return
	}
	k.processes[id] = nil
	// An error says that it has ended already.
	_ = process.Process.Signal(signal)
	_ = process.Wait()
}

func (k *kafka) listening(id int) {
	testkit.Eventually(k.t, 90*time.Second, func(context.Context) error {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", k.ports[id][0]), time.Second)
		if err == nil {
			c.Close()
		}
		return err
	})
}
