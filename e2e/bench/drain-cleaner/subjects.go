package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/weir-dev/weir/pkg/testkit"
)

// subject is a running server of reviews.
type subject struct {
	name, url string
	// metrics is the address where the service's are scraped.
	metrics string
	allows  bool
	command *exec.Cmd
}

func (s *subject) pid() int { return s.command.Process.Pid }

func (s *subject) stop() error {
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	// How it ends is not what is measured.
	_ = s.command.Wait()
	return nil
}

// bareAddress is set for the bare handler.
const bareAddress = "BENCH_BARE_ADDRESS"

func serveBare(ctx context.Context, dir string) error {
	server := &http.Server{Addr: os.Getenv(bareAddress), ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil {
			http.Error(w, "no review", http.StatusBadRequest)
			return
		}
		review.Response, review.Request = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}, nil
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review)
	})}
	context.AfterFunc(ctx, func() { server.Close() })
	if err := server.ListenAndServeTLS(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func startBare(ctx context.Context, dir string) (*subject, error) {
	own, err := os.Executable()
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	command := exec.Command(own, "-bare="+dir)
	command.Env = append(os.Environ(), bareAddress+"="+address)
	s := &subject{name: "bare handler", url: "https://localhost:" + port(address) + "/", allows: true, command: command}
	return s, s.start(ctx, func(ctx context.Context) error {
		c, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", address)
		if err == nil {
			c.Close()
		}
		return err
	})
}

func program(root string) string { return filepath.Join(root, "bin", service) }

func startService(root string, cp *testkit.ControlPlane) func(context.Context, string) (*subject, error) {
	return func(ctx context.Context, dir string) (*subject, error) {
		address, err := freeAddress()
		if err != nil {
			return nil, err
		}
		health, err := freeAddress()
		if err != nil {
			return nil, err
		}
		command := exec.Command(program(root), "--kubeconfig="+cp.Kubeconfig(), "--certificate-source=files", "--certificate-dir="+dir,
			"--webhook-address="+address, "--metrics-address="+health, "--shutdown-delay=0s", "--log-level=warn")
		// As the base has it.
		command.Env = append(os.Environ(), "GOMEMLIMIT=96MiB")
		s := &subject{name: service, url: "https://localhost:" + port(address) + "/drainer", metrics: health, command: command}
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
}

// start returns when ready holds.
func (s *subject) start(ctx context.Context, ready func(context.Context) error) error {
	s.command.Stderr = os.Stderr
	if err := s.command.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, s.stop())
		case <-ticker.C:
		}
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// prepare makes a protected pod, the certificates, and the review of its eviction.
func prepare(ctx context.Context, cp *testkit.ControlPlane, root, dir string) (review []byte, err error) {
	if _, err := cp.ApplyFiles(ctx, "", filepath.Join(root, "deploy", "crds", "drain.weir.dev", "kafkadrainpolicies.yaml")); err != nil {
		return nil, err
	}
	pod := broker("default", "my-cluster-kafka-0", map[string]string{"strimzi.io/kind": "Kafka", "strimzi.io/name": "my-cluster-kafka"})
	if _, err := cp.Client().CoreV1().Pods("default").Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	err = testkit.Poll(ctx, "the pod", func(ctx context.Context) error {
		p, err := cp.Client().CoreV1().Pods("default").Get(ctx, pod.Name, metav1.GetOptions{})
		if err == nil && p.Status.Phase != corev1.PodRunning {
			err = errors.New("does not run")
		}
		return err
	})
	if err != nil {
		return nil, err
	}

	cert, key, err := selfSigned()
	if err != nil {
		return nil, err
	}
	for name, data := range map[string][]byte{"tls.crt": cert, "tls.key": key, "ca.crt": cert} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return nil, err
		}
	}
	return reviewOf(pod.Namespace, pod.Name)
}

func broker(namespace, name string, labels map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "kafka", Image: "kafka"}}},
	}
}

// reviewOf is the review of a pod's eviction.
func reviewOf(namespace, name string) ([]byte, error) {
	return json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{Kind: "AdmissionReview", APIVersion: "admission.k8s.io/v1"},
		Request: &admissionv1.AdmissionRequest{
			UID: "705ab4f5-6393-11e8-b7cc-42010a800002", Operation: admissionv1.Create, Namespace: namespace, Name: name, SubResource: "eviction",
			Kind:     metav1.GroupVersionKind{Group: "policy", Version: "v1", Kind: "Eviction"},
			Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
			Object:   runtime.RawExtension{Raw: fmt.Appendf(nil, `{"kind":"Eviction","apiVersion":"policy/v1","metadata":{"name":%q,"namespace":%q},"deleteOptions":{}}`, name, namespace)},
		},
	})
}

// selfSigned is a certificate for localhost, good for a day.
func selfSigned() (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded}), err
}

// port of an address: the certificate is for localhost.
func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}
