package env

import "syscall"

// killWithParent makes the kernel kill the child when this process dies.
func killWithParent(attributes *syscall.SysProcAttr) { attributes.Pdeathsig = syscall.SIGKILL }
