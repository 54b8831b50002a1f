//go:build !linux

package main

import "syscall"

// pdeathsig is Linux's; elsewhere only minder's own end, not its being killed, takes the children with it.
func pdeathsig(*syscall.SysProcAttr) {}
