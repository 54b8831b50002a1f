package env

import "syscall"

// dieWithUs has the kernel kill the child when we die without having stopped it.
func dieWithUs(attributes *syscall.SysProcAttr) { attributes.Pdeathsig = syscall.SIGKILL }
