// Package e2e runs the real binary with real JVMs against a real broker, all as processes on loopback.
package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// built are the files that the tests run.
type built struct {
	binary  string
	lib     string
	broker  string
	plugins []string
	archive string
}

var (
	theBuild  built
	missing   string
	theBroker = sync.OnceValues(startBroker)
	cleanups  []func()
	workDir   string
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
		theReport.write(os.Stdout)
		return code
	}())
}

// prepare builds the binary and finds what Maven has built; it returns what is missing.
func prepare() string {
	jvm, err := filepath.Abs("../../jvm")
	if err != nil {
		return err.Error()
	}
	theBuild = built{
		binary: filepath.Join(workDir, "connect-runner"),
		lib:    filepath.Join(jvm, "runner/target/lib"),
		broker: filepath.Join(jvm, "harness/target/broker"),
		plugins: []string{
			filepath.Join(jvm, "testplugin/target/plugins"),
			filepath.Join(jvm, "harness/target/plugins"),
		},
		archive: filepath.Join(jvm, "harness/target/archives/debezium-connector-postgres.tar.gz"),
	}
	for _, dir := range append([]string{theBuild.lib, theBuild.broker, theBuild.archive}, theBuild.plugins...) {
		if _, err := os.Stat(dir); err != nil {
			return "the JVM part is not built: run make test SERVICE=connect-runner, which needs Maven and a JDK of at least version 17"
		}
	}
	if out, err := exec.Command("go", "build", "-o", theBuild.binary, "../../cmd/connect-runner").CombinedOutput(); err != nil {
		return fmt.Sprintf("build connect-runner: %v: %s", err, out)
	}
	return ""
}

// need skips a test for which something is missing, and fails it in CI.
func need(t *testing.T) {
	t.Helper()
	if missing == "" {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}

// spawn starts a process that dies with this one, however that ends. The kernel ties it to the thread that starts it,
// which therefore is one that stays.
func spawn(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGKILL
	failed := make(chan error)
	spawner() <- func() { failed <- cmd.Start() }
	return <-failed
}

var spawner = sync.OnceValue(func() chan func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// eventually waits for a condition.
func eventually(t *testing.T, within time.Duration, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, within, 20*time.Millisecond, what)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// write makes a file.
func write(t *testing.T, path, content string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	// In one step: a process that was started before may be reading it.
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
