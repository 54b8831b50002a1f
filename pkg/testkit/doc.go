// Package testkit runs a real Kubernetes control plane inside tests, demonstrations and benchmarks: etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler, and kwok, which simulates nodes and their kubelets. It is up, with nodes Ready, in seconds.
//
//	func TestMain(m *testing.M) { testkit.Main(m) }
//
//	func TestStartsAPod(t *testing.T) {
//		t.Parallel()
//		cp := testkit.Shared(t)          // one per package; testkit.New(t, testkit.WithNodes(9)) for one of one's own
//		namespace := cp.Namespace(t)     // fresh, deleted after the test
//		_, err := cp.ApplyFiles(t.Context(), namespace, "testdata/crds", "testdata/pod.yaml")
//		require.NoError(t, err)
//		testkit.Eventually(t, time.Minute, func(ctx context.Context) error { … })
//	}
//
// Who is who: [ControlPlane.REST] and [ControlPlane.Client] are an administrator's, [ControlPlane.User] and
// [ControlPlane.ServiceAccount] may do what RBAC gives them and nothing else. [ControlPlane.AddNodes] makes simulated nodes, on which
// pods become Ready at once; those with the [HoldAnnotation] are left to the test. [Golden] compares objects with a file.
//
// The programs are built on first use (package binaries), which takes minutes once; `go run ./testkit/cmd/controlplane build` does it
// ahead. A process of its own minds the components: however the test process ends, they end and their files go.
//
// The packages below: transport watches and disturbs a client's traffic, beneath its rest.Config. perturb replays a scenario while the
// service in it is killed, served old caches, or loses events:
//
//	perturb.Replay(t, cp, perturb.Scenario{
//		Name:    "brokers keep their volumes",
//		Subject: perturb.Subject{Service: run, Identity: shippedRole, Compare: snapshot.Of(statefulSets, claims)},
//		Steps:   []perturb.Step{perturb.Apply("make it", manifest), {Name: "wait until ready", Run: ready}, …},
//	})
//
// WEIR_PERTURB=full|sample says how many replays there are (full, but for go test -short). transition changes one property
// of an object at a time, forward and back. snapshot is how both compare objects; world is a namespace with a service at work in it.
package testkit
