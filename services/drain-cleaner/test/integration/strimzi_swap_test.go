package integration_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/admission"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

// strimzis are the manifests of Strimzi's Drain Cleaner without its Deployment: RBAC, the Secret of the certificate and
// the webhook.
const strimzis = `apiVersion: v1
kind: ServiceAccount
metadata: {name: strimzi-drain-cleaner}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: %[1]s}
rules:
- {apiGroups: [""], resources: [pods], verbs: [%[2]s]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[1]s}
subjects: [{kind: ServiceAccount, name: strimzi-drain-cleaner, namespace: %[1]s}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: strimzi-drain-cleaner}
rules:
- {apiGroups: [""], resources: [secrets], resourceNames: [strimzi-drain-cleaner], verbs: [get, list, watch]}
- {apiGroups: [""], resources: [pods], verbs: [get, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: strimzi-drain-cleaner}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: strimzi-drain-cleaner}
subjects: [{kind: ServiceAccount, name: strimzi-drain-cleaner, namespace: %[1]s}]
---
apiVersion: v1
kind: Secret
metadata: {name: strimzi-drain-cleaner}
stringData: {tls.crt: %[3]q, tls.key: %[4]q}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: %[1]s}
webhooks:
- name: strimzi-drain-cleaner.strimzi.io
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods/eviction], scope: Namespaced}]
  clientConfig: {url: "https://localhost:%[5]s/drainer", caBundle: %[6]s}
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Ignore
  timeoutSeconds: 5
`

// The program runs with the environment, the start command and the permissions of Strimzi's Drain Cleaner, on a cluster
// without the definition of KafkaDrainPolicy.
func TestReplacesStrimzisDrainCleanerWithItsPermissions(t *testing.T) {
	t.Parallel()
	cp := testkit.New(t)
	for name, test := range map[string]struct {
		pods    string
		more    string
		missing string
	}{
		"as released": {
			pods: "get, list, watch, patch", missing: "watch nodes, watch kafkadrainpolicies, create events",
		},
		"as in the first release": {
			pods: "get, patch", missing: "watch pods, watch nodes, watch kafkadrainpolicies, create events",
		},
		"with permissions for policies without their definition": {
			pods: "get, list, watch, patch",
			more: `[{"op":"add","path":"/rules/-","value":{"apiGroups":["drain.weir.dev"],` +
				`"resources":["kafkadrainpolicies"],"verbs":["get","list","watch"]}}]`,
			missing: "watch nodes, create events",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, err := testenv.NewEmpty(t.Context(), cp)
			require.NoError(t, err)
			ns := env.Namespace(t)
			webhook, health := freePort(t), freePort(t)
			program := startInPlaceOfStrimzis(t, env, ns, test.pods, test.more, webhook, health)

			env.AddTestNodes(t, 1)
			env.StatefulSet(t, ns, "my-cluster-kafka", 1, testenv.StrimziLabels)
			env.StatefulSet(t, ns, "db", 1, map[string]string{"app": "db"})
			pod := env.Pod(t, ns, "my-cluster-kafka-0")
			testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
				if err := program.fault(); err != nil {
					return testkit.Permanent(err)
				}
				err := env.Evict(ctx, ns, pod.Name, pod.UID, metav1.DryRunAll)
				if !apierrors.IsTooManyRequests(err) {
					return fmt.Errorf("not denied: %w", errors.Join(err))
				}
				return nil
			})
			err = env.Evict(t.Context(), ns, pod.Name, pod.UID)
			require.True(t, apierrors.IsTooManyRequests(err), "%v", err)
			assert.ErrorContains(t, err, "The pod will be rolled by the Strimzi Cluster Operator")
			testkit.Eventually(t, testenv.Timeout, func(context.Context) error {
				if env.Pod(t, ns, pod.Name).Annotations[contract.ManualRollingUpdate] != "true" {
					return errors.New("the pod is not annotated")
				}
				return nil
			})
			require.NoError(t, env.Evict(t.Context(), ns, "db-0", ""), "a pod that is not protected")
			testkit.Eventually(t, testenv.Timeout, func(context.Context) error {
				answer, err := http.Get("http://127.0.0.1:" + health + "/health")
				if err != nil {
					return err
				}
				defer answer.Body.Close()
				if answer.StatusCode != http.StatusOK {
					return errors.New(answer.Status)
				}
				return nil
			})

			require.NoError(t, program.fault(), "it runs")
			output := program.stop(t)
			assert.Equal(t, 1, strings.Count(output, `"missing":"`+test.missing+`"`), "logs:\n%s", output)
			assert.NotContains(t, output, `"level":"ERROR"`)
		})
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port
}

// program is drain-cleaner in a separate process.
type program struct {
	command *exec.Cmd
	output  testenv.Tail
	ended   chan error
}

// startInPlaceOfStrimzis applies Strimzi's manifests and starts the program instead of Strimzi's. more is a JSON patch
// of the ClusterRole.
func startInPlaceOfStrimzis(
	t *testing.T,
	env *testenv.Env,
	ns, pods, more, webhook, health string,
	args ...string,
) *program {
	t.Helper()
	kubeconfig := applyStrimzis(t, env, ns, pods, webhook)
	if more != "" {
		_, err := env.Client().
			RbacV1().
			ClusterRoles().
			Patch(t.Context(), ns, types.JSONPatchType, []byte(more), metav1.PatchOptions{})
		require.NoError(t, err)
	}
	return startProgram(t, kubeconfig, webhook, health, []string{
		"STRIMZI_DRAIN_KAFKA=true",
		"STRIMZI_DRAIN_ZOOKEEPER=true",
		"STRIMZI_DENY_EVICTION=true",
		"STRIMZI_DRAIN_NAMESPACES=*",
		"STRIMZI_CERTIFICATE_WATCH_ENABLED=true",
		"STRIMZI_CERTIFICATE_WATCH_NAMESPACE=" + ns,
		"STRIMZI_CERTIFICATE_WATCH_POD_NAME=strimzi-drain-cleaner-0",
	}, args...)
}

// newCertificate returns a certificate for localhost.
func newCertificate(t *testing.T) admission.Certificates {
	t.Helper()
	c, err := admission.Rotate(
		admission.Certificates{},
		[]string{"localhost"},
		nil,
		admission.Lifetimes{},
		time.Now(),
		rand.Reader,
	)
	require.NoError(t, err)
	return c
}

// applyStrimzis applies Strimzi's manifests and returns a kubeconfig of its service account.
func applyStrimzis(t *testing.T, env *testenv.Env, ns, pods, webhook string) (kubeconfig string) {
	t.Helper()
	c := newCertificate(t)
	bundle := base64.StdEncoding.EncodeToString(c.TrustBundle)
	_, err := env.ApplyYAML(t.Context(), ns, fmt.Sprintf(strimzis, ns, pods, c.Cert, c.Key, webhook, bundle))
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx := context.Background()
		assert.NoError(
			t,
			errors.Join(
				env.Client().AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(ctx, ns, metav1.DeleteOptions{}),
				env.Client().
					RbacV1().
					ClusterRoles().
					Delete(ctx, ns, metav1.DeleteOptions{}),
				env.Client().RbacV1().ClusterRoleBindings().Delete(ctx, ns, metav1.DeleteOptions{}),
			),
		)
	})
	account, err := env.ServiceAccount(t.Context(), ns, "strimzi-drain-cleaner")
	require.NoError(t, err)
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: account.Host, CertificateAuthorityData: account.CAData}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: account.BearerToken}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "x"
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*config, kubeconfig))
	return kubeconfig
}

// startProgram starts the program with Strimzi's start command and the variables.
func startProgram(
	t *testing.T, kubeconfig, webhook, health string, variables []string, args ...string,
) *program {
	t.Helper()
	p := &program{ended: make(chan error, 1)}
	// A pod would have its own ports and connection, and would not need these flags.
	args = append([]string{
		"/opt/strimzi/bin/drain_cleaner_run.sh", "--kubeconfig=" + kubeconfig, "--shutdown-delay=0s",
		"--webhook-address=127.0.0.1:" + webhook, "--metrics-address=127.0.0.1:" + health,
	}, args...)
	p.command = exec.Command(os.Args[0], args...)
	p.command.Env = append(append(os.Environ(), runAsProgram+"=true"), variables...)
	p.command.Stdout, p.command.Stderr = &p.output, &p.output
	require.NoError(t, p.command.Start())
	go func() { p.ended <- p.command.Wait() }()
	t.Cleanup(func() { _ = p.command.Process.Kill() })
	return p
}

// fault returns an error after the program has ended.
func (p *program) fault() error {
	select {
	case err := <-p.ended:
		p.ended <- err
		return fmt.Errorf("the program has ended: %w\n%s", errors.Join(err), p.output.String())
	default:
		return nil
	}
}

// stop stops the program gracefully and returns its logs.
func (p *program) stop(t *testing.T) string {
	t.Helper()
	require.NoError(t, p.command.Process.Signal(syscall.SIGTERM))
	require.NoError(t, <-p.ended, p.output.String())
	return p.output.String()
}
