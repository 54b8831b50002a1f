//go:build !linux

package env

import "syscall"

// dieWithUs can do nothing here: after a crash of ours the child has to be ended by hand.
func dieWithUs(*syscall.SysProcAttr) {}
