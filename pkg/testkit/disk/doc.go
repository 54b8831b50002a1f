// Package disk provides real file systems for tests: loop devices with XFS or ext4. They need root, and the Debian
// packages xfsprogs or e2fsprogs.
//
// A test package that uses it has a TestMain:
//
//	func TestMain(m *testing.M) { disk.Main(m) }
//
// It runs the tests in their own mount namespace. Mounts and loop devices disappear with the test process, even if it
// is killed.
package disk
