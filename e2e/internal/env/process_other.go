//go:build !linux

package env

import "syscall"

// killWithParent does nothing on this platform: after a crash the child keeps running.
func killWithParent(*syscall.SysProcAttr) {}
