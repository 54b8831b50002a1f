// Package integration runs the connect-runner binary with JVMs against a Kafka broker, all as processes on loopback.
package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/kafka"
)

// artifacts are the files that the tests run.
type artifacts struct {
	binary  string
	lib     string
	plugins []string
	archive string
}

var (
	built       artifacts
	missing     string
	startShared = sync.OnceValues(startSharedKafka)
	cleanups    []func()
	workDir     string
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if workDir, err = os.MkdirTemp("", "weir-connect-runner-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(workDir)
		defer func() {
			for _, f := range cleanups {
				f()
			}
		}()
		missing = prepare()
		code := m.Run()
		results.write(os.Stdout)
		return code
	}())
}

// prepare builds the binary and finds Maven's artifacts. It returns what is missing.
func prepare() string {
	jvm, err := filepath.Abs("../../jvm")
	if err != nil {
		return err.Error()
	}
	built = artifacts{
		binary: filepath.Join(workDir, "connect-runner"),
		lib:    filepath.Join(jvm, "runner/target/lib"),

		plugins: []string{
			filepath.Join(jvm, "testplugin/target/plugins"),
			filepath.Join(jvm, "harness/target/plugins"),
		},
		archive: filepath.Join(jvm, "harness/target/archives/debezium-connector-postgres.tar.gz"),
	}
	for _, dir := range append([]string{built.lib, built.archive}, built.plugins...) {
		if _, err := os.Stat(dir); err != nil {
			return "the Java part is not built; run make test SERVICE=connect-runner with Maven and a JDK 17 or later"
		}
	}
	if out, err := exec.Command(
		"go",
		"build",
		"-o",
		built.binary,
		"../../cmd/connect-runner",
	).CombinedOutput(); err != nil {
		return fmt.Sprintf("build connect-runner: %v: %s", err, out)
	}
	return ""
}

// requireBuild skips the test if an artifact is missing. With CI=true it fails the test.
func requireBuild(t *testing.T) {
	t.Helper()
	if missing != "" {
		testkit.Skip(t, missing)
	}
}

// sharedKafka returns the broker that all tests of the package share.
func sharedKafka(t *testing.T) *kafka.Cluster {
	t.Helper()
	requireBuild(t)
	kafka.Require(t)
	cluster, err := startShared()
	require.NoError(t, err)
	return cluster
}

// brokerOptions let the tasks of a sink join their group in one rebalance.
var brokerOptions = kafka.Options{
	Properties: "group.initial.rebalance.delay.ms=500\n",
	JVMOptions: []string{"-Xmx512m"},
}

func startSharedKafka() (*kafka.Cluster, error) {
	cluster, err := kafka.New(context.Background(), workDir, brokerOptions)
	if err == nil {
		cleanups = append(cleanups, cluster.Stop)
	}
	return cluster, err
}

// eventually waits for a condition.
func eventually(t *testing.T, within time.Duration, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, within, 20*time.Millisecond, what)
}

// write writes a file.
func write(t *testing.T, path, content string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	// Atomically: a running process may read it.
	require.NoError(t, os.WriteFile(path+".new", []byte(content), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
	return path
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	return strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
}
