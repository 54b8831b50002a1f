package process

import "syscall"

// killWithParent makes the kernel kill the process when the thread that started it exits.
func killWithParent(attributes *syscall.SysProcAttr) { attributes.Pdeathsig = syscall.SIGKILL }
