//go:build !linux

package process

import "syscall"

// killWithParent does nothing: only Linux has the parent death signal.
func killWithParent(*syscall.SysProcAttr) {}
