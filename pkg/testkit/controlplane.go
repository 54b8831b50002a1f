package testkit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/weir-dev/weir/pkg/testkit/binaries"
)

// startTimeout is generous: it is for machines that are busy with something else.
const startTimeout = 2 * time.Minute

// ControlPlane is a running etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok. Its methods may be
// called concurrently.
type ControlPlane struct {
	options    Options
	set        *binaries.Set
	dir        string
	url        string
	token      string
	authority  *authority
	supervisor *supervisor
	client     kubernetes.Interface
	dynamic    dynamic.Interface
	mapper     *mapper
	nodes      atomic.Int64
	stop       sync.Once
}

// Start returns a control plane that is up, its nodes Ready. The first ever builds its programs, which takes minutes.
// The caller stops it; should this process end without, however it ends, all of it goes too.
func Start(ctx context.Context, options Options) (*ControlPlane, error) {
	set, err := binaries.Ensure(ctx, options.progress())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	cp := &ControlPlane{options: options, set: set, token: rand.Text()}
	if err := cp.start(ctx); err != nil {
		if cp.supervisor != nil {
			if failure := cp.supervisor.err(); failure != nil && !strings.Contains(err.Error(), failure.Error()) {
				err = errors.Join(err, failure)
			}
			err = errors.Join(err, cp.Stop())
		}
		return nil, err
	}
	return cp, nil
}

func (cp *ControlPlane) start(ctx context.Context) error {
	var err error
	if cp.dir, err = makeDir(); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	if cp.supervisor, err = startSupervisor(cp.set.Path(binaries.Supervisor), cp.dir); err != nil {
		return errors.Join(fmt.Errorf("start supervisor: %w", err), os.RemoveAll(cp.dir))
	}
	if cp.authority, err = newAuthority(); err != nil {
		return fmt.Errorf("make a certificate authority: %w", err)
	}
	if err := cp.writeCredentials(); err != nil {
		return fmt.Errorf("write credentials: %w", err)
	}
	if err := cp.startStore(); err != nil {
		return fmt.Errorf("start etcd: %w", err)
	}
	if err := cp.serve(ctx); err != nil {
		return fmt.Errorf("start kube-apiserver: %w", err)
	}
	for _, start := range []func() error{cp.startControllerManager, cp.startScheduler, cp.startKwok} {
		if err := start(); err != nil {
			return err
		}
	}
	if _, err := cp.AddNodes(ctx, cp.options.Nodes); err != nil {
		return err
	}
	return cp.poll(ctx, "the default service account", func(ctx context.Context) error {
		_, err := cp.client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// serve starts the API server on a free port. Between our finding it free and the server's taking it another process
// may have it, so that is tried again.
func (cp *ControlPlane) serve(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		port, err := freePort()
		if err != nil {
			return err
		}
		cp.url = fmt.Sprintf("https://127.0.0.1:%d", port)
		if cp.client, err = kubernetes.NewForConfig(cp.RESTConfig()); err != nil {
			return err
		}
		if cp.dynamic, err = dynamic.NewForConfig(cp.RESTConfig()); err != nil {
			return err
		}
		cp.mapper = newMapper(cp.client.Discovery())
		if err := cp.writeKubeconfig(); err != nil {
			return err
		}
		if err := cp.startAPIServer(port); err != nil {
			return err
		}
		err = cp.poll(ctx, "readiness", func(ctx context.Context) error {
			return cp.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
		})
		if err == nil || attempt == 5 || !strings.Contains(logTail(cp.supervisor.log(binaries.APIServer), 50), "address already in use") {
			return err
		}
	}
}

// poll waits until the condition holds; it gives up as soon as a component has ended.
func (cp *ControlPlane) poll(ctx context.Context, what string, condition func(context.Context) error) error {
	return poll(ctx, what, 25*time.Millisecond, func(ctx context.Context) error {
		if err := cp.supervisor.err(); err != nil {
			return final{err}
		}
		return condition(ctx)
	})
}

// Stop ends all components and removes what they wrote. It may be called more than once.
func (cp *ControlPlane) Stop() error {
	var err error
	cp.stop.Do(func() { err = cp.supervisor.stop() })
	if err != nil {
		return fmt.Errorf("stop the control plane: %w", err)
	}
	return nil
}

// Dir holds the components' logs, <component>.log, for as long as the control plane runs.
func (cp *ControlPlane) Dir() string { return cp.dir }

// Fault is nil unless a component has ended on its own; then it tells which one, and the end of its log.
func (cp *ControlPlane) Err() error { return cp.supervisor.err() }

// Client is an administrator's.
func (cp *ControlPlane) Client() kubernetes.Interface { return cp.client }

// Dynamic is an administrator's.
func (cp *ControlPlane) Dynamic() dynamic.Interface { return cp.dynamic }

// Pause stops a component, by the name of its program, without its noticing, until Resume: a hung API server, a slow scheduler.
func (cp *ControlPlane) Pause(component string) error {
	return cp.supervisor.signal(component, syscall.SIGSTOP)
}

// Resume ends a Pause.
func (cp *ControlPlane) Resume(component string) error {
	return cp.supervisor.signal(component, syscall.SIGCONT)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// ignoreNotFound is for deletions, which may come too late.
func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
