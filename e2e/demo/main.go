// Command demo shows connect-scheduler at work on an embedded control plane. Every step checks what it claims; one that does
// not come true in time ends the demonstration with an error.
//
// DEMO_EXIT=1 ends it after the last step. NO_COLOR leaves the colours out.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run()) }

// run returns the exit code: 0 also for one who has seen all and ends it.
func run() int {
	// The first signal ends it in good order, the second one at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop)

	d := &demo{screen: newScreen(os.Stdout), exit: os.Getenv("DEMO_EXIT") == "1"}
	err := d.play(ctx)
	d.screen.show(nil)
	// Whatever an interruption made fail is no news.
	if ctx.Err() != nil {
		d.screen.line("")
		d.screen.line("Stopping.")
		if err = nil; !d.seen {
			err = errInterrupted
		}
	}
	if err != nil && !errors.Is(err, errInterrupted) {
		d.screen.line("")
		d.screen.line("%s %v", d.screen.paint(red, "✗"), err)
		if tail := d.tail(); tail != "" {
			d.screen.line("%sThe end of connect-scheduler's log:\n%s", indent, tail)
		}
	}
	err = errors.Join(err, d.close())
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errInterrupted):
		return 130
	}
	fmt.Fprintln(os.Stderr, "demo: failed")
	return 1
}

var errInterrupted = errors.New("interrupted")
