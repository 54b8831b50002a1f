package main

import "syscall"

// setParentDeathSignal makes the kernel kill the child when the supervisor is killed.
func setParentDeathSignal(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
