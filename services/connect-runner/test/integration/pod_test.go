package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"

	"github.com/weir-dev/weir/pkg/testkit/kafka"
	"github.com/weir-dev/weir/pkg/testkit/process"
)

const (
	startWithin = 90 * time.Second
	namespace   = "e2e"
	podMemory   = 448 << 20
)

// deployment is a connector with the files of its pods and its published task configs, as connect-scheduler runs it.
type deployment struct {
	t         *testing.T
	broker    *kafka.Cluster
	name      string
	dir       string
	worker    map[string]string
	connector map[string]string
	runner    contract.RunnerConfig
	// plugins is the plugin path.
	plugins []string
	args    []string
	// env are additional environment variables.
	env []string
	// group is the cgroup of the tasks; "" for that of the test.
	group string
}

func deploy(t *testing.T, name string, connector map[string]string) *deployment {
	t.Helper()
	return deployOn(t, sharedKafka(t), name, connector)
}

func deployOn(t *testing.T, b *kafka.Cluster, name string, connector map[string]string) *deployment {
	t.Helper()
	d := &deployment{
		t:         t,
		broker:    b,
		name:      name,
		dir:       t.TempDir(),
		connector: maps.Clone(connector),
		plugins:   built.plugins,
	}
	d.worker = map[string]string{
		"bootstrap.servers":                 b.Bootstrap(),
		"key.converter":                     "org.apache.kafka.connect.storage.StringConverter",
		"value.converter":                   "org.apache.kafka.connect.storage.StringConverter",
		"group.id":                          "connect-cluster",
		"offset.storage.topic":              "offsets-" + name,
		"offset.storage.replication.factor": "1",
		"offset.storage.partitions":         "1",
		"offset.flush.interval.ms":          "500",
		"config.storage.topic":              "connect-configs",
		"status.storage.topic":              "connect-status",
	}
	d.runner.DefaultLoggerLevel = "INFO"
	return d
}

func (d *deployment) published() string { return filepath.Join(d.dir, "published") }

// files writes the pod's configuration files.
func (d *deployment) files() {
	d.t.Helper()
	var properties strings.Builder
	for _, key := range slices.Sorted(maps.Keys(d.worker)) {
		fmt.Fprintf(&properties, "%s=%s\n", key, d.worker[key])
	}
	write(d.t, filepath.Join(d.dir, "worker.properties"), properties.String())
	write(d.t, filepath.Join(d.dir, "connector.json"), jsonText(d.t, d.connector))
	write(d.t, filepath.Join(d.dir, "runner.json"), jsonText(d.t, d.runner))
}

func (d *deployment) common(name string) []string {
	return append([]string{
		"--name", d.name, "--namespace", namespace,
		"--worker-config", filepath.Join(d.dir, "worker.properties"),
		"--runner-config", filepath.Join(d.dir, "runner.json"),
		"--plugin-dir", filepath.Join(d.dir, "plugins"),
		"--plugin-path", strings.Join(d.plugins, ","),
		"--lib", built.lib,
		"--metrics-address", "127.0.0.1:0",
		"--memory-limit", strconv.Itoa(podMemory),
		"--termination-log", filepath.Join(d.dir, name+".termination"),
	}, d.args...)
}

func (d *deployment) startConnector(extra ...string) *pod {
	d.t.Helper()
	d.files()
	args := append(
		[]string{
			"connector",
			"--connector-config",
			filepath.Join(d.dir, "connector.json"),
			"--publish-to",
			d.published(),
			"--generation",
			"1",
		},
		d.common("connector")...)
	return d.start("connector", append(args, extra...))
}

func (d *deployment) startTask(id int, extra ...string) *pod {
	d.t.Helper()
	d.files()
	args := append(
		[]string{
			"task",
			"--task-id",
			strconv.Itoa(id),
			"--task-config",
			filepath.Join(d.published(), contract.TaskConfigKey(id)),
			"--task-hashes",
			strings.Join(d.hashes(), ","),
		},
		d.common(fmt.Sprintf("task-%d", id))...)
	return d.start(fmt.Sprintf("task-%d", id), append(args, extra...))
}

// startTasks runs the connector until it has published its task configs, and then the tasks.
func (d *deployment) startTasks(count int) []*pod {
	d.t.Helper()
	c := d.startConnector()
	c.ready()
	require.Len(d.t, d.hashes(), count)
	var tasks []*pod
	for i := range count {
		tasks = append(tasks, d.startTask(i))
	}
	for _, p := range tasks {
		p.ready()
	}
	return tasks
}

// hashes returns the hashes of the published task configs by id.
func (d *deployment) hashes() []string {
	d.t.Helper()
	common, err := os.ReadFile(filepath.Join(d.published(), contract.TaskCommonKey))
	if err != nil {
		common = nil
	}
	reader := contract.NewTaskConfigReader(common)
	var hashes []string
	for i := 0; ; i++ {
		file, err := os.ReadFile(filepath.Join(d.published(), contract.TaskConfigKey(i)))
		if os.IsNotExist(err) {
			return hashes
		}
		require.NoError(d.t, err)
		_, hash, err := reader.Read(file)
		require.NoError(d.t, err)
		hashes = append(hashes, hash)
	}
}

func (d *deployment) annotations() map[string]string {
	annotations := map[string]string{}
	text, err := os.ReadFile(filepath.Join(d.published(), "annotations.json"))
	if err == nil {
		require.NoError(d.t, json.Unmarshal(text, &annotations))
	}
	return annotations
}

// pod is one process of connect-runner.
type pod struct {
	t           *testing.T
	name        string
	cmd         *exec.Cmd
	log         string
	termination string
	started     time.Time
	done        chan struct{}
}

func (d *deployment) start(name string, args []string) *pod {
	d.t.Helper()
	p := &pod{
		t:           d.t,
		name:        d.name + "/" + name,
		log:         filepath.Join(d.dir, fmt.Sprintf("%s-%d.log", name, time.Now().UnixNano())),
		termination: filepath.Join(d.dir, name+".termination"),
		done:        make(chan struct{}),
		started:     time.Now(),
	}
	_ = os.Remove(p.termination)
	out, err := os.Create(p.log)
	require.NoError(d.t, err)
	p.cmd = exec.Command(built.binary, args...)
	if d.group != "" && name != "connector" {
		join := `echo $$ >"$0/cgroup.procs" && exec "$@"`
		p.cmd = exec.Command("sh", append([]string{"-c", join, d.group, built.binary}, args...)...)
	}
	p.cmd.Env = append(os.Environ(), d.env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	require.NoError(d.t, process.Start(p.cmd))
	go func() {
		_ = p.cmd.Wait()
		_ = out.Close()
		close(p.done)
	}()
	d.t.Cleanup(func() {
		p.kill()
		if d.t.Failed() {
			d.t.Logf("log of %s:\n%s", p.name, tail(p.text(), 60))
		}
	})
	return p
}

func (p *pod) text() string {
	text, _ := os.ReadFile(p.log)
	return string(text)
}

var (
	addressLine = regexp.MustCompile(`address=(\S+)`)
	pidLine     = regexp.MustCompile(`msg="JVM started" pid=(\d+)`)
)

func (p *pod) get(path string) (int, string) {
	m := addressLine.FindStringSubmatch(p.text())
	if m == nil {
		return 0, ""
	}
	res, err := http.Get("http://" + m[1] + path)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}

func (p *pod) isReady() bool {
	code, _ := p.get("/readyz")
	return code == http.StatusOK
}

func (p *pod) ready() {
	p.t.Helper()
	deadline := time.Now().Add(startWithin)
	for !p.isReady() {
		select {
		case <-p.done:
			p.t.Fatalf("%s exited before it was ready: %s", p.name, p.message())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s was not ready within %s", p.name, startWithin)
		}
	}
}

// term sends SIGTERM, as the kubelet does, and returns the exit code.
func (p *pod) term() int {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	return p.exit()
}

// kill kills the Go process and the JVM at the same time, as a node failure does.
func (p *pod) kill() {
	if m := pidLine.FindStringSubmatch(p.text()); m != nil && !p.over() {
		pid, _ := strconv.Atoi(m[1])
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *pod) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *pod) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(startWithin):
		p.t.Fatalf("%s did not exit within %s", p.name, startWithin)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *pod) message() contract.Termination {
	text, _ := os.ReadFile(p.termination)
	t, _ := contract.ParseTermination(string(text))
	return t
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}

func tail(text string, n int) string {
	l := strings.Split(text, "\n")
	return strings.Join(l[max(0, len(l)-n):], "\n")
}
