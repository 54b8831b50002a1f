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

// startTimeout is long enough for a busy machine.
const startTimeout = 2 * time.Minute

// ControlPlane is a running etcd and kube-apiserver and, unless it is WithoutControllers, kube-controller-manager,
// kube-scheduler and kwok. Its methods are safe for concurrent use.
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

// Start returns a running control plane whose nodes are Ready. The first start builds the programs, which takes
// minutes. The caller must call Stop. If the process exits without, for whatever reason, the components exit too.
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
		return fmt.Errorf("create the directory: %w", err)
	}
	if cp.supervisor, err = startSupervisor(cp.set.Path(binaries.Supervisor), cp.dir); err != nil {
		return errors.Join(fmt.Errorf("start the supervisor: %w", err), os.RemoveAll(cp.dir))
	}
	if cp.authority, err = newAuthority(); err != nil {
		return fmt.Errorf("create the CA: %w", err)
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
	if cp.options.Prepare != nil {
		if err := cp.options.Prepare(ctx, cp); err != nil {
			return fmt.Errorf("prepare the control plane: %w", err)
		}
	}
	if cp.options.WithoutControllers {
		return nil
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

// serve starts the API server on a free port. It tries again if another process takes the port before the API server
// binds it.
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
		if err == nil || attempt == 5 ||
			!strings.Contains(logTail(cp.supervisor.log(binaries.APIServer), 50), "address already in use") {
			return err
		}
	}
}

// poll waits until condition returns nil. It fails as soon as a component exits.
func (cp *ControlPlane) poll(ctx context.Context, what string, condition func(context.Context) error) error {
	return poll(ctx, what, 25*time.Millisecond, func(ctx context.Context) error {
		if err := cp.Err(); err != nil {
			return permanent{err}
		}
		return condition(ctx)
	})
}

// Stop kills all components and removes their files. It may be called more than once. It does nothing to a control
// plane of Attach.
func (cp *ControlPlane) Stop() error {
	if cp.supervisor == nil {
		return nil
	}
	var err error
	cp.stop.Do(func() { err = cp.supervisor.stop() })
	if err != nil {
		return fmt.Errorf("stop the control plane: %w", err)
	}
	return nil
}

// Dir returns the directory of the logs, <component>.log. Stop removes it.
func (cp *ControlPlane) Dir() string { return cp.dir }

// Err returns an error if a component exited on its own. It contains the end of the component's log.
func (cp *ControlPlane) Err() error {
	if cp.supervisor == nil {
		return nil
	}
	return cp.supervisor.err()
}

// Client returns a client of an administrator.
func (cp *ControlPlane) Client() kubernetes.Interface { return cp.client }

// Dynamic returns a dynamic client of an administrator.
func (cp *ControlPlane) Dynamic() dynamic.Interface { return cp.dynamic }

// Pause suspends a component (SIGSTOP) until Resume, to simulate for example a hung API server. component is the name
// of its program.
func (cp *ControlPlane) Pause(component string) error {
	if cp.supervisor == nil {
		return errAttached
	}
	return cp.supervisor.signal(component, syscall.SIGSTOP)
}

// Resume continues a paused component.
func (cp *ControlPlane) Resume(component string) error {
	if cp.supervisor == nil {
		return errAttached
	}
	return cp.supervisor.signal(component, syscall.SIGCONT)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// ignoreNotFound returns nil for a NotFound error: the object is already deleted.
func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
