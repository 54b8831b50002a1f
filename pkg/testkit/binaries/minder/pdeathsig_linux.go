package main

import "syscall"

// pdeathsig has the kernel kill the child should minder itself be killed.
func pdeathsig(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
