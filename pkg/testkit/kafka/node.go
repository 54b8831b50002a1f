package kafka

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/process"
)

// ClusterID is the cluster id of every node.
const ClusterID = "weirweirweirweirweirwA"

// startTimeout bounds the start of a node on a busy machine.
const startTimeout = 2 * time.Minute

// NodeConfig describes one Kafka process.
type NodeConfig struct {
	// Name is the prefix of the node's files in its directory.
	Name string
	// Properties is the content of server.properties without log.dirs. It overrides the defaults of this package.
	Properties string
	// FormatArgs are arguments of `kafka-storage format`, for example --add-scram.
	FormatArgs []string
	// JVMOptions override the options of this package.
	JVMOptions []string
}

// Node is one Kafka process: a broker, a controller or both.
type Node struct {
	name, dir string
	java      []string
	cmd       *exec.Cmd
}

// defaults suit a machine that runs many tests at once.
const defaults = `offsets.topic.num.partitions=5
transaction.state.log.num.partitions=5
unclean.leader.election.enable=false
group.initial.rebalance.delay.ms=0
log.cleaner.enable=false
num.network.threads=1
num.io.threads=2
background.threads=2
group.coordinator.threads=1
`

// logging writes warnings of the broker, the group coordinator's rebalances and the authorizer's decisions to the log
// file.
const logging = `status=ERROR
appender.stdout.type=Console
appender.stdout.name=stdout
appender.stdout.layout.type=PatternLayout
appender.stdout.layout.pattern=%p %m (%c)%n
rootLogger.level=WARN
rootLogger.appenderRef.stdout.ref=stdout
logger.group.name=org.apache.kafka.coordinator.group
logger.group.level=INFO
logger.authorizer.name=kafka.authorizer.logger
logger.authorizer.level=DEBUG
`

// NewNode writes the node's configuration into dir and formats its storage. It does not start the process.
func NewNode(ctx context.Context, dir string, config NodeConfig) (*Node, error) {
	jars, err := Jars(ctx)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	n := &Node{name: config.Name, dir: dir}
	properties := defaults + config.Properties + "\nlog.dirs=" + n.file(".data") + "\n"
	if err := os.WriteFile(n.file(".properties"), []byte(properties), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(n.file(".log4j2.properties"), []byte(logging), 0o600); err != nil {
		return nil, err
	}
	n.java = slices.Concat([]string{
		"-Xms96m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true",
		"-Dlog4j2.configurationFile=" + n.file(".log4j2.properties"), "-cp", filepath.Join(jars, "*"),
	}, config.JVMOptions)
	format := n.command(ctx, "kafka.tools.StorageTool",
		append([]string{"format", "-t", ClusterID, "-c", n.file(".properties")}, config.FormatArgs...)...)
	if output, err := format.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format the storage of %s: %w: %s", n.name, err, output)
	}
	return n, nil
}

func (n *Node) file(suffix string) string { return filepath.Join(n.dir, n.name+suffix) }

func (n *Node) command(ctx context.Context, class string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "java", slices.Concat(n.java, []string{class}, args)...)
}

// Start starts the process. Its data is that of earlier starts.
func (n *Node) Start() error {
	log, err := os.OpenFile(n.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := n.command(context.Background(), "kafka.Kafka", n.file(".properties"))
	cmd.Stdout, cmd.Stderr = log, log
	if err := process.Start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", n.name, err)
	}
	n.cmd = cmd
	return nil
}

// Signal sends a signal and returns at once: SIGSTOP for a node that hangs, for example.
func (n *Node) Signal(signal syscall.Signal) error { return n.cmd.Process.Signal(signal) }

// Stop sends a signal and waits for the process to end: SIGTERM for a controlled shutdown, SIGKILL for a crash. The
// data stays. Stop does nothing when the process does not run.
func (n *Node) Stop(signal syscall.Signal) {
	if n.cmd == nil {
		return
	}
	// Errors mean that the process has already ended.
	_ = n.cmd.Process.Signal(signal)
	_ = n.cmd.Wait()
	n.cmd = nil
}

// LogFile returns the path of the process's log.
func (n *Node) LogFile() string { return n.file(".log") }

// LogLines returns the lines of the log that contain all words.
func (n *Node) LogLines(words ...string) ([]string, error) {
	text, err := os.ReadFile(n.LogFile())
	if err != nil {
		return nil, err
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			found = append(found, strings.TrimSuffix(line, "\n"))
		}
	}
	return found, nil
}

// Listening waits until a TCP port of this machine accepts connections.
func Listening(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return testkit.Poll(ctx, fmt.Sprintf("port %d to accept connections", port), func(context.Context) error {
		connection, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			connection.Close()
		}
		return err
	})
}

// FreePort returns a TCP port that no process listens on.
func FreePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
