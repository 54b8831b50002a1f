package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/process"
)

// subject is a running webhook.
type subject struct {
	name, url string
	// metrics is the address of the service's metrics.
	metrics string
	// protects is true if the subject denies evictions of protected pods.
	protects bool
	command  *exec.Cmd
	// client keeps its connections, as the API server does.
	client *http.Client
	// startup is the time until it is ready.
	startup time.Duration
}

// starter starts a subject.
type starter func(ctx context.Context) (*subject, error)

func (s *subject) pid() int { return s.command.Process.Pid }

func (s *subject) stop() error {
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	// The exit status is not measured.
	_ = s.command.Wait()
	return nil
}

// bareAddress is the environment variable with the address of the bare handler. bareKubeconfig is that with the client
// configuration of the handler that reads pods.
const bareAddress, bareKubeconfig = "BENCH_BARE_ADDRESS", "BENCH_BARE_KUBECONFIG"

// serveBare runs a TLS handler that decodes each review and allows it. With a client configuration it first reads the
// pods that share a namespace with Kafka pods. No webhook that confirms such pods by live reads can be faster.
func serveBare(ctx context.Context, dir string) error {
	read := func(context.Context, *admissionv1.AdmissionRequest) error { return nil }
	if file := os.Getenv(bareKubeconfig); file != "" {
		client, err := readingClient(file)
		if err != nil {
			return err
		}
		read = func(ctx context.Context, review *admissionv1.AdmissionRequest) error {
			if review.Namespace != kafkaNamespace {
				return nil
			}
			_, err := client.CoreV1().Pods(review.Namespace).Get(ctx, review.Name, metav1.GetOptions{})
			return err
		}
	}
	allow := func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil {
			http.Error(w, "not a review", http.StatusBadRequest)
			return
		}
		if err := read(r.Context(), review.Request); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		review.Response, review.Request = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}, nil
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review)
	}
	server := &http.Server{
		Addr: os.Getenv(bareAddress), ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(allow),
	}
	context.AfterFunc(ctx, func() { server.Close() })
	err := server.ListenAndServeTLS(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// readingClient returns a client without a rate limit, as the service has.
func readingClient(kubeconfig string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	config.ContentType = runtime.ContentTypeProtobuf
	return kubernetes.NewForConfig(config)
}

func (e *environment) startBare(ctx context.Context) (*subject, error) {
	return e.startHandler(ctx, "bare handler")
}

// startReading starts the bare handler that reads the pods beside Kafka pods.
func (e *environment) startReading(ctx context.Context) (*subject, error) {
	return e.startHandler(ctx, "handler that reads", bareKubeconfig+"="+e.kubeconfig("weir"))
}

func (e *environment) startHandler(ctx context.Context, name string, env ...string) (*subject, error) {
	own, err := os.Executable()
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	command := exec.Command(own, "-bare="+e.dir)
	command.Env = append(append(os.Environ(), bareAddress+"="+address), env...)
	s := &subject{name: name, url: url(address, "/"), command: command}
	return s, s.start(ctx, func(ctx context.Context) error {
		c, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", address)
		if err == nil {
			c.Close()
		}
		return err
	})
}

// startWeir starts the service as deploy/drain-cleaner does, but without a limit of its writes.
func (e *environment) startWeir(ctx context.Context) (*subject, error) {
	return e.startService(ctx, "weir", "--require-node-cordoned=true", "--policies=required", "--leader-elect",
		"--lease-namespace=weir-system", "--kube-api-qps=2000", "--kube-api-burst=4000")
}

// startStrimzi starts the service as Strimzi's manifests do.
func (e *environment) startStrimzi(ctx context.Context) (*subject, error) {
	return e.startService(ctx, "strimzi", "/opt/strimzi/bin/drain_cleaner_run.sh")
}

func (e *environment) startService(ctx context.Context, account string, args ...string) (*subject, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	health, err := freeAddress()
	if err != nil {
		return nil, err
	}
	command := exec.Command(e.program(), append(args,
		"--kubeconfig="+e.kubeconfig(account), "--certificate-source=files", "--certificate-dir="+e.dir,
		"--webhook-address="+address, "--metrics-address="+health, "--shutdown-delay=0s", "--log-level=warn")...)
	command.Env = append(os.Environ(), "GOMEMLIMIT=96MiB", "POD_NAMESPACE=weir-system")
	s := &subject{
		name: account + "'s permissions", url: url(address, "/drainer"), metrics: health, protects: true, command: command,
	}
	return s, s.start(ctx, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+health+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("not ready: %s", response.Status)
		}
		return nil
	})
}

// start starts the process and waits until ready returns nil. The log of the process is not printed unless this fails.
func (s *subject) start(ctx context.Context, ready func(context.Context) error) error {
	log, err := os.CreateTemp("", "weir-bench-")
	if err != nil {
		return err
	}
	defer log.Close()
	defer os.Remove(log.Name())
	s.command.Stderr = log
	started := time.Now()
	if err := process.Start(s.command); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := testkit.PollEvery(ctx, 2*time.Millisecond, s.name+" to be ready", ready); err != nil {
		output, readErr := os.ReadFile(log.Name())
		return errors.Join(err, s.stop(), readErr, fmt.Errorf("its log:\n%s", output))
	}
	s.startup = time.Since(started)
	return nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// url returns an https URL with the host name of the certificate.
func url(address, path string) string {
	_, port, _ := net.SplitHostPort(address)
	return "https://localhost:" + port + path
}
