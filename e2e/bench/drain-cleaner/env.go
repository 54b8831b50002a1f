package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit"
)

// kafkaNamespace is the namespace of the Kafka pod and of half of the other pods.
const kafkaNamespace = "kafka"

// parallelCreates is the number of objects that are created at the same time.
const parallelCreates = 16

// environment is the control plane with the pods, the permissions and the certificate of the benchmark.
type environment struct {
	*testkit.ControlPlane
	root, dir string
	// protected is the review of a Kafka pod of Strimzi on a cordoned node. unprotected are those of other pods, which are
	// in a namespace of their own and in the namespace of the Kafka pod.
	protected   [][]byte
	unprotected [][]byte
}

func (e *environment) program() string              { return filepath.Join(e.root, "bin", service) }
func (e *environment) kubeconfig(who string) string { return filepath.Join(e.dir, who+".kubeconfig") }

// strimziManifests are the permissions of Strimzi's Drain Cleaner.
const strimziManifests = `apiVersion: v1
kind: Namespace
metadata: {name: strimzi-drain-cleaner}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: drain-cleaner, namespace: strimzi-drain-cleaner}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: strimzi-drain-cleaner}
rules:
- {apiGroups: [""], resources: [pods], verbs: [get, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: strimzi-drain-cleaner}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: strimzi-drain-cleaner}
subjects:
- {kind: ServiceAccount, name: drain-cleaner, namespace: strimzi-drain-cleaner}
`

// prepare installs the permissions, creates the pods and writes the certificate.
func (e *environment) prepare(ctx context.Context, o options) error {
	if _, err := env.Install(ctx, e.ControlPlane, e.root, service); err != nil {
		return err
	}
	if _, err := e.ApplyYAML(ctx, "", strimziManifests); err != nil {
		return err
	}
	for who, namespace := range map[string]string{"weir": "weir-system", "strimzi": "strimzi-drain-cleaner"} {
		connection, err := e.ServiceAccount(ctx, namespace, service)
		if err != nil {
			return err
		}
		if err := env.WriteKubeconfig(e.kubeconfig(who), connection); err != nil {
			return err
		}
	}
	if err := e.createPods(ctx, o); err != nil {
		return err
	}
	return e.writeCertificate()
}

// createPods creates the Kafka pod and the unprotected pods, waits until they run, and cordons the node of the Kafka
// pod.
func (e *environment) createPods(ctx context.Context, o options) error {
	if err := e.createNamespaces(ctx, kafkaNamespace, "other"); err != nil {
		return err
	}
	kafka := newPod(kafkaNamespace, "my-cluster-kafka-0", map[string]string{
		"strimzi.io/kind": "Kafka", "strimzi.io/name": "my-cluster-kafka",
	})
	pods := []*corev1.Pod{kafka}
	for i := range o.pods {
		namespace := []string{kafkaNamespace, "other"}[i%2]
		pods = append(pods, newPod(namespace, fmt.Sprintf("web-%d", i), map[string]string{"app": "web"}))
	}
	if err := e.create(ctx, pods); err != nil {
		return err
	}
	for _, pod := range pods {
		review, err := newReview(pod.Namespace, pod.Name)
		if err != nil {
			return err
		}
		if pod == kafka {
			e.protected = [][]byte{review}
		} else {
			e.unprotected = append(e.unprotected, review)
		}
	}
	running, err := e.Client().CoreV1().Pods(kafka.Namespace).Get(ctx, kafka.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	return e.cordon(ctx, running.Spec.NodeName)
}

func (e *environment) createNamespaces(ctx context.Context, names ...string) error {
	for _, name := range names {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := e.Client().CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create namespace %s: %w", name, err)
		}
	}
	return nil
}

// create creates pods and waits until all pods of the cluster run.
func (e *environment) create(ctx context.Context, pods []*corev1.Pod) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallelCreates)
	for _, pod := range pods {
		group.Go(func() error {
			_, err := e.Client().CoreV1().Pods(pod.Namespace).Create(groupCtx, pod, metav1.CreateOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("create pods: %w", err)
	}
	return testkit.PollEvery(ctx, time.Second, "all pods to run", func(ctx context.Context) error {
		list, err := e.Client().CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "status.phase!=Running"})
		if err == nil && len(list.Items) > 0 {
			err = fmt.Errorf("%d pods are not running", len(list.Items))
		}
		return err
	})
}

func (e *environment) cordon(ctx context.Context, node string) error {
	patch := []byte(`{"spec":{"unschedulable":true}}`)
	_, err := e.Client().CoreV1().Nodes().Patch(ctx, node, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("cordon node %s: %w", node, err)
	}
	return nil
}

// writeCertificate writes a self-signed certificate for localhost.
func (e *environment) writeCertificate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	encoded, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, data := range map[string][]byte{
		"tls.crt": cert, "ca.crt": cert, "tls.key": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded}),
	} {
		if err := os.WriteFile(filepath.Join(e.dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func newPod(namespace, name string, labels map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "main"}}},
	}
}

// newReview returns the AdmissionReview of a pod's eviction.
func newReview(namespace, name string) ([]byte, error) {
	return json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{Kind: "AdmissionReview", APIVersion: "admission.k8s.io/v1"},
		Request: &admissionv1.AdmissionRequest{
			UID: "705ab4f5-6393-11e8-b7cc-42010a800002", Operation: admissionv1.Create,
			Namespace: namespace, Name: name, SubResource: "eviction",
			Kind:     metav1.GroupVersionKind{Group: "policy", Version: "v1", Kind: "Eviction"},
			Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
			Object: runtime.RawExtension{Raw: fmt.Appendf(nil,
				`{"kind":"Eviction","apiVersion":"policy/v1","metadata":{"name":%q,"namespace":%q},"deleteOptions":{}}`,
				name, namespace)},
		},
	})
}
