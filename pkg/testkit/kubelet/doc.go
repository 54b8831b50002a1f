//go:build linux

// Package kubelet runs the pods of chosen nodes as local processes on the embedded control plane. Services and the
// pods that they create are then tested together, with the real programs, in seconds and without a container runtime.
//
//	func TestMain(m *testing.M) { kubelet.Init(); testkit.Main(m) }
//
//	cp := testkit.New(t, testkit.WithNodes(0))
//	node := kubelet.Start(t, cp, kubelet.Config{
//		Images: map[string]kubelet.Image{"example.org/app:1": {
//			Files: map[string]string{"/usr/local/bin/app": binary}, Entrypoint: []string{"app"}, User: 65532,
//		}},
//		Ports: cluster.Ports, // a Kafka cluster on loopback
//	})
//
// A container is a process in its own mount, process, IPC, host name and network namespaces. Its root file system is
// that of this machine, below the files of its image; what it writes is discarded when it exits. A pod reaches the API
// server and the ports of [Config.Ports] at 127.0.0.1, and nothing else. Nothing outside the directory of the node is
// written.
//
// Supported are: command, args, env, init containers, restart policies, termination messages, HTTP and TCP probes,
// graceful termination, read-only root file systems, runAsUser, fsGroup, capabilities, mount propagation, and the
// volumes emptyDir, configMap, secret, downwardAPI, projected (with service account tokens), hostPath and
// persistentVolumeClaim (of hostPath and local volumes). Paths on a node are below [Node.HostDir]. Limits of CPU and
// memory are not enforced. A pod that uses anything else stays Pending, and its container's reason names the field.
package kubelet
