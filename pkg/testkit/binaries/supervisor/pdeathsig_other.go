//go:build !linux

package main

import "syscall"

// setParentDeathSignal does nothing: only Linux supports it. If the supervisor is killed, its children keep running.
func setParentDeathSignal(*syscall.SysProcAttr) {}
