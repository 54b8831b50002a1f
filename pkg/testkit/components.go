package testkit

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/weir-dev/weir/pkg/testkit/binaries"
)

func (cp *ControlPlane) file(name string) string { return filepath.Join(cp.dir, name) }

// writeCredentials writes the keys, certificates and tokens of the components.
func (cp *ControlPlane) writeCredentials() error {
	cert, key, err := cp.authority.serving()
	if err != nil {
		return err
	}
	authorityKey, err := encodeKey(cp.authority.key)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"ca.crt": cp.authority.pem, "ca.key": authorityKey,
		"apiserver.crt": cert, "apiserver.key": key,
		// The key pair of the CA also signs service account tokens.
		"service-account.key": authorityKey,
		// All components are in system:masters, so they need not wait for the bootstrap of their roles.
		"tokens.csv": fmt.Appendf(nil, "%s,admin,admin,system:masters\n", cp.token),
	}
	for name, data := range files {
		if err := os.WriteFile(cp.file(name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// startStore starts etcd. It listens on Unix sockets, which need no free ports and which no other user can reach.
func (cp *ControlPlane) startStore() error {
	client := "unix://" + cp.file("etcd.sock")
	// etcd requires a URL of this form. No client uses it.
	const unused = "http://127.0.0.1:1"
	return cp.supervisor.start(binaries.Etcd, cp.set.Path(binaries.Etcd), []string{
		"--data-dir=" + cp.file("etcd"),
		// The data need not survive a crash of the machine.
		"--unsafe-no-fsync",
		"--listen-client-urls=" + client, "--advertise-client-urls=" + unused,
		"--listen-peer-urls=unix://" + cp.file("peer.sock"), "--initial-advertise-peer-urls=" + unused,
		"--initial-cluster=default=" + unused,
		"--quota-backend-bytes=" + strconv.Itoa(4<<30),
		"--log-level=warn",
	})
}

func (cp *ControlPlane) startAPIServer(port int) error {
	args := []string{
		"--etcd-servers=unix://" + cp.file("etcd.sock"),
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port=" + strconv.Itoa(port),
		"--tls-cert-file=" + cp.file("apiserver.crt"), "--tls-private-key-file=" + cp.file("apiserver.key"),
		"--client-ca-file=" + cp.file("ca.crt"), "--token-auth-file=" + cp.file("tokens.csv"),
		"--authorization-mode=Node,RBAC", "--anonymous-auth=false",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + cp.file(
			"service-account.key",
		), "--service-account-signing-key-file=" + cp.file("service-account.key"),
		"--service-cluster-ip-range=10.96.0.0/16",
		// A loopback address is not a valid endpoint.
		"--endpoint-reconciler-type=none",
		"--allow-privileged=true",
		"--max-requests-inflight=1600", "--max-mutating-requests-inflight=800",
	}
	return cp.supervisor.start(
		binaries.APIServer,
		cp.set.Path(binaries.APIServer),
		append(args, cp.options.APIServerArgs...),
	)
}

func (cp *ControlPlane) startControllerManager() error {
	args := []string{
		"--kubeconfig=" + cp.Kubeconfig(), "--leader-elect=false", "--secure-port=0",
		"--service-account-private-key-file=" + cp.file("service-account.key"), "--root-ca-file=" + cp.file("ca.crt"),
		"--cluster-signing-cert-file=" + cp.file("ca.crt"), "--cluster-signing-key-file=" + cp.file("ca.key"),
		"--controllers=*", "--allocate-node-cidrs=false",
		// The default of 20 per second makes volume binding and pod creation slow.
		"--kube-api-qps=2000", "--kube-api-burst=4000",
		// Simulated nodes send no heartbeats. Only their status determines their health.
		"--node-monitor-grace-period=24h",
	}
	return cp.supervisor.start(
		binaries.ControllerManager,
		cp.set.Path(binaries.ControllerManager),
		append(args, cp.options.ControllerManagerArgs...),
	)
}

func (cp *ControlPlane) startScheduler() error {
	args := []string{
		"--kubeconfig=" + cp.Kubeconfig(), "--leader-elect=false", "--secure-port=0",
		"--kube-api-qps=2000", "--kube-api-burst=4000",
	}
	return cp.supervisor.start(
		binaries.Scheduler,
		cp.set.Path(binaries.Scheduler),
		append(args, cp.options.SchedulerArgs...),
	)
}

func (cp *ControlPlane) startKwok() error {
	stages, err := stages(cp.set.Stages(), cp.options.Stages)
	if err != nil {
		return fmt.Errorf("read kwok's stages: %w", err)
	}
	if err := os.WriteFile(cp.file("kwok.yaml"), stages, 0o600); err != nil {
		return err
	}
	return cp.supervisor.start(binaries.Kwok, cp.set.Path(binaries.Kwok), []string{
		"--kubeconfig=" + cp.Kubeconfig(), "--config=" + cp.file("kwok.yaml"), "--manage-all-nodes",
	})
}
