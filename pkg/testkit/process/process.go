// Package process starts programs that end with the test process.
package process

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// Start starts the command in its own process group. On Linux the kernel kills it when the test process ends for any
// reason, a crash included.
func Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	killWithParent(cmd.SysProcAttr)
	result := make(chan error)
	starter() <- func() { result <- cmd.Start() }
	return <-result
}

// starter runs functions on one OS thread that never exits: the kernel sends Pdeathsig when the thread that started
// the child exits, not when the process exits.
var starter = sync.OnceValue(func() chan func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})
