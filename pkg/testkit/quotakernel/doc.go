// Package quotakernel runs the tests of a package on a kernel that enforces XFS project quota, which many kernels are
// built without. The kernel is user-mode Linux: an ordinary process, without privileges on the machine. It needs the
// Debian packages user-mode-linux and xfsprogs.
//
// A test package that uses it has a TestMain:
//
//	func TestMain(m *testing.M) { quotakernel.Main(m) }
//
// Main starts the test binary again as the only program of that kernel. The file systems of the machine are visible
// there and read-only, except for temporary directories. With WEIR_QUOTA_KERNEL=host the tests run on the kernel of the
// machine, as root.
//
// With MainWithControlPlane, testkit.Shared returns a control plane that runs on the machine. The tests reach it
// through a terminal of that kernel, at the same address.
package quotakernel
