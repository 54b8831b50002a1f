//go:build linux

package kubelet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/weir-dev/weir/pkg/testkit/process"
)

// maxMessage is the length limit of a termination message.
const maxMessage = 4096

// container is one container of a pod. Only the goroutine of its worker uses it, except signal.
type container struct {
	worker *worker
	spec   corev1.Container
	status corev1.ContainerStatus
	// next is the time of the next restart, and delay the last restart's delay.
	next  time.Time
	delay time.Duration
	// stopProbes ends the probes of the present run.
	stopProbes context.CancelFunc

	mu      sync.Mutex
	process *os.Process
}

func newContainer(w *worker, spec corev1.Container) *container {
	c := &container{worker: w, spec: spec, status: corev1.ContainerStatus{Name: spec.Name, Image: spec.Image}}
	c.wait("ContainerCreating", "")
	c.status.Started = ptr.To(false)
	return c
}

func (c *container) wait(reason, message string) {
	c.status.State = corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message},
	}
	c.status.Ready = false
}

// succeeded reports whether the container has ended with exit code 0.
func (c *container) succeeded() bool {
	return c.status.State.Terminated != nil && c.status.State.Terminated.ExitCode == 0
}

// restarts reports whether the policy restarts the container after its last exit.
func (c *container) restarts(policy corev1.RestartPolicy) bool {
	return policy == corev1.RestartPolicyAlways || policy == corev1.RestartPolicyOnFailure && !c.succeeded()
}

// proceed starts the container if it does not run and may be started now.
func (c *container) proceed(ctx context.Context, restart bool) {
	state := c.status.State
	switch {
	case state.Running != nil:
		return
	case state.Terminated != nil && !restart:
		return
	case state.Terminated != nil:
		c.delay = min(max(2*c.delay, c.worker.node.config.Backoff), 10*c.worker.node.config.Backoff)
		c.next = time.Now().Add(c.delay)
		c.status.LastTerminationState = state
		c.wait("CrashLoopBackOff", fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)",
			c.delay, c.spec.Name, c.worker.name, c.worker.namespace, c.worker.pod.UID))
		return
	case time.Now().Before(c.next):
		return
	}
	if err := c.start(ctx); err != nil {
		c.wait("CreateContainerConfigError", err.Error())
		return
	}
	if c.status.LastTerminationState.Terminated != nil {
		c.status.RestartCount++
	}
	now := metav1.Now()
	c.status.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}
	c.probe(ctx)
}

// start starts the process of the container.
func (c *container) start(ctx context.Context) error {
	image, found := c.worker.node.config.Images[c.spec.Image]
	if !found {
		return fmt.Errorf("node %s has no image %s", c.worker.node.Name, c.spec.Image)
	}
	dir := filepath.Join(c.worker.dir, "containers", c.spec.Name)
	s, err := c.sandbox(ctx, image, dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.Root, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(c.messageFile(), nil, 0o666); err != nil {
		return err
	}
	if err := os.Chmod(c.messageFile(), 0o666); err != nil {
		return err
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	// The file holds the environment of the container, which may contain secrets.
	input := filepath.Join(dir, "sandbox.json")
	if err := os.WriteFile(input, data, 0o600); err != nil {
		return err
	}
	log, err := os.OpenFile(c.worker.node.logFile(c.worker.namespace, c.worker.name, c.spec.Name),
		os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("/proc/self/exe", command, input)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles, cmd.Env = log, log, []*os.File{c.worker.network.file}, []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
	}
	if err := process.Start(cmd); err != nil {
		return fmt.Errorf("start container %s: %w", c.spec.Name, err)
	}
	c.mu.Lock()
	c.process = cmd.Process
	c.mu.Unlock()
	go func() {
		err := cmd.Wait()
		c.mu.Lock()
		c.process = nil
		c.mu.Unlock()
		c.worker.call(func() { c.ended(cmd, err) })
	}()
	return nil
}

// sandbox returns the input of the process.
func (c *container) sandbox(ctx context.Context, image Image, dir string) (sandbox, error) {
	w := c.worker
	env, err := w.environment(ctx, c.spec, image)
	if err != nil {
		return sandbox{}, err
	}
	pod, own := ptr.Deref(w.pod.Spec.SecurityContext, corev1.PodSecurityContext{}),
		ptr.Deref(c.spec.SecurityContext, corev1.SecurityContext{})
	s := sandbox{
		Root: filepath.Join(dir, "root"), Hostname: w.name, Env: env.list(),
		Dir:      cmp.Or(c.spec.WorkingDir, image.WorkingDir, "/"),
		User:     int(*cmp.Or(own.RunAsUser, pod.RunAsUser, ptr.To(int64(image.User)))),
		Group:    int(*cmp.Or(own.RunAsGroup, pod.RunAsGroup, ptr.To(int64(image.User)))),
		ReadOnly: ptr.Deref(own.ReadOnlyRootFilesystem, false),
	}
	if s.Keep, err = keptCapabilities(own.Capabilities); err != nil {
		return s, err
	}
	if s.User == 0 && ptr.Deref(cmp.Or(own.RunAsNonRoot, pod.RunAsNonRoot), false) {
		return s, errors.New("container has runAsNonRoot and image will run as root")
	}
	for _, group := range pod.SupplementalGroups {
		s.Groups = append(s.Groups, int(group))
	}
	if pod.FSGroup != nil {
		s.Groups = append(s.Groups, int(*pod.FSGroup))
	}
	for _, target := range slices.Sorted(keys(image.Files)) {
		source, err := filepath.Abs(image.Files[target])
		if err != nil {
			return s, err
		}
		s.Binds = append(s.Binds, bind{Source: source, Target: target, ReadOnly: true})
	}
	for _, mount := range c.spec.VolumeMounts {
		b, err := c.bind(mount, env)
		if err != nil {
			return s, err
		}
		s.Binds = append(s.Binds, b)
	}
	s.Binds = append(s.Binds, bind{Source: c.messageFile(), Target: c.spec.TerminationMessagePath})
	arguments := slices.Concat(image.Entrypoint, image.Cmd)
	switch {
	case len(c.spec.Command) > 0:
		arguments = slices.Concat(c.spec.Command, c.spec.Args)
	case len(c.spec.Args) > 0:
		arguments = slices.Concat(image.Entrypoint, c.spec.Args)
	}
	for _, argument := range arguments {
		s.Args = append(s.Args, env.expand(argument))
	}
	return s, nil
}

// bind returns where a volume is mounted. Like a real kubelet, it creates a directory for a missing subPath.
func (c *container) bind(mount corev1.VolumeMount, env *variables) (bind, error) {
	v := c.worker.volumes[mount.Name]
	if v == nil {
		return bind{}, fmt.Errorf("mount %s: the pod has no volume %s", mount.MountPath, mount.Name)
	}
	if ptr.Deref(mount.MountPropagation, "") == corev1.MountPropagationBidirectional {
		return bind{}, unsupported("mountPropagation Bidirectional")
	}
	b := bind{
		Target: mount.MountPath, ReadOnly: mount.ReadOnly || v.read != nil,
		Follow: ptr.Deref(mount.MountPropagation, "") == corev1.MountPropagationHostToContainer,
	}
	sub := cmp.Or(mount.SubPath, env.expand(mount.SubPathExpr))
	if sub == "" {
		b.Source = v.dir
		return b, nil
	}
	source := filepath.Join(v.dir, sub)
	if _, err := os.Stat(source); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(source, 0o755); err != nil {
			return bind{}, err
		}
	}
	resolved, err := filepath.EvalSymlinks(source)
	if err != nil {
		return bind{}, err
	}
	inside, err := filepath.EvalSymlinks(v.dir)
	if err != nil {
		return bind{}, err
	}
	if !strings.HasPrefix(resolved, inside+"/") {
		return bind{}, fmt.Errorf("subPath %s of volume %s leads out of the volume", sub, mount.Name)
	}
	b.Source = resolved
	return b, nil
}

func (c *container) messageFile() string {
	return filepath.Join(c.worker.dir, "containers", c.spec.Name, "termination-message")
}

// ended records the end of the process.
func (c *container) ended(cmd *exec.Cmd, err error) {
	if c.stopProbes != nil {
		c.stopProbes()
	}
	terminated := &corev1.ContainerStateTerminated{
		ExitCode: int32(cmd.ProcessState.ExitCode()), Reason: "Completed", FinishedAt: metav1.Now(),
	}
	if running := c.status.State.Running; running != nil {
		terminated.StartedAt = running.StartedAt
		if time.Since(running.StartedAt.Time) > 10*time.Minute {
			c.delay = 0
		}
	}
	if err != nil {
		terminated.Reason = "Error"
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		terminated.ExitCode = 128 + int32(status.Signal())
	}
	if terminated.ExitCode == startFailed {
		terminated.Reason = "StartError"
	}
	terminated.Message = c.message(terminated.ExitCode)
	c.status.State = corev1.ContainerState{Terminated: terminated}
	c.status.Ready, c.status.Started = false, ptr.To(false)
}

// message returns the termination message.
func (c *container) message(exitCode int32) string {
	data, _ := readTail(c.messageFile(), maxMessage)
	fallback := c.spec.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError
	if len(data) == 0 && (fallback && exitCode != 0 || exitCode == startFailed) {
		data, _ = readTail(c.worker.node.logFile(c.worker.namespace, c.worker.name, c.spec.Name), 2048)
	}
	return string(data)
}

func readTail(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > limit {
		if _, err := f.Seek(-limit, io.SeekEnd); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// signal signals the process and reports whether it runs.
func (c *container) signal(signal syscall.Signal) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.process != nil && c.process.Signal(signal) == nil
}
