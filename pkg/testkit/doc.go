// Package testkit runs a real Kubernetes control plane in tests, demos and benchmarks: etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler, and kwok, which simulates nodes and their kubelets. It starts within
// seconds.
//
//	func TestMain(m *testing.M) { testkit.Main(m) }
//
//	func TestStartsAPod(t *testing.T) {
//		t.Parallel()
//		cp := testkit.Shared(t)          // one per package; testkit.New(t, testkit.WithNodes(9)) starts another
//		namespace := cp.Namespace(t)     // deleted after the test
//		_, err := cp.ApplyFiles(t.Context(), namespace, "testdata/crds", "testdata/pod.yaml")
//		require.NoError(t, err)
//		testkit.Eventually(t, time.Minute, func(ctx context.Context) error { … })
//	}
//
// [ControlPlane.RESTConfig] and [ControlPlane.Client] are those of an administrator. [ControlPlane.User] and
// [ControlPlane.ServiceAccount] have only the rights that RBAC grants. [ControlPlane.AddNodes] creates simulated nodes,
// on which pods become Ready immediately, except pods with the [PauseAnnotation]. [Golden] compares objects with a
// file.
//
// Package kubelet adds nodes whose pods run as local processes instead.
//
// The programs are built on first use (package binaries), which takes minutes; `go run ./testkit/cmd/controlplane
// build` builds them in advance. A supervisor process kills the components and removes their files when the test
// process exits.
//
// Packages: transport observes and perturbs the requests of a client. perturb replays a scenario while it kills the
// service, gives it stale caches, or drops its watch events:
//
//	perturb.Replay(t, cp, perturb.Scenario{
//		Name:    "brokers keep their volumes",
//		Subject: perturb.Subject{Service: run, Identity: identity, Compare: snapshot.Namespaced(statefulSets)},
//		Steps:   []perturb.Step{perturb.Apply("create", manifest), {Name: "wait until ready", Run: ready}, …},
//	})
//
// WEIR_PERTURB=full|sample sets the number of runs; the default is full, or sample with go test -short. transition
// changes one property of an object at a time, forward and back. Both run the service with package env and compare
// objects with package snapshot.
package testkit
