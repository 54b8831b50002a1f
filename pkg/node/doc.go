// Package node is the access of services to the node that they run on: directories, file systems, mounts and the
// machine id. The package xfsquota below it has the project quota of XFS. They need Linux 5.8 or later.
//
// # Directories
//
// [OpenDir] opens a directory; the methods of [Dir] resolve relative paths beneath it with openat2. A path never
// leaves the directory and never contains a symbolic link or, unless [AllowMounts] is given, a mount point, whatever
// other processes do to the tree at the same time. Errors have the errno of the kernel:
//
//   - ELOOP: an element is a symbolic link
//   - EXDEV: an element is a mount point, or .. leaves the directory
//   - ENOTDIR: an element is not a directory
//
// # Durability
//
// [Dir.WriteFile], [Dir.Mkdir], [Dir.Rename] and [Dir.Remove] return after the directory entries are on disk. A file
// that WriteFile wrote has either its old or its new content after a crash.
//
// # Mounts
//
// [Mounts] parses the mount table of the process, [Dir.Mount] finds the mount that an open directory is on, and
// [WatchMounts] reports changes.
//
// [CloneMount] copies a mount, and [Tree.Attach] attaches the copy with its options already set. [MountNamespaces] and
// [Namespace.Do] reach the mounts of other processes, and [Inside.Replace] replaces one of them: containers have
// private copies of their volumes, which a new mount on the node does not change. They need CAP_SYS_ADMIN,
// CAP_SYS_CHROOT and CAP_SYS_PTRACE, and the process namespace of the node.
package node
