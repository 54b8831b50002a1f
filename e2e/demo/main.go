// Command demo demonstrates Weir's services on an embedded control plane, in chapters. Every step verifies its result;
// a failed or late step ends the demo with an error. Arguments are the chapters to run; the default is all. A chapter
// that needs more than Go says what is missing.
//
// DEMO_EXIT=1 ends the demo after the last step. NO_COLOR disables colors.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	initPods()
	os.Exit(run())
}

// run returns the exit code: 0 after all steps, 130 if interrupted before, 1 after a failure.
func run() int {
	// The first signal stops the demo gracefully. The second one kills it.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop)

	selected, err := choose(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	d := &demo{screen: newScreen(os.Stdout), exit: os.Getenv("DEMO_EXIT") == "1", chapters: selected}
	err = d.play(ctx)
	d.screen.show(nil)
	// Errors after an interruption are expected.
	if ctx.Err() != nil {
		d.screen.line("")
		d.screen.line("Stopping all processes.")
		if err = nil; !d.completed {
			err = errInterrupted
		}
	}
	if err != nil && !errors.Is(err, errInterrupted) {
		d.screen.line("")
		d.screen.line("%s %v", d.screen.paint(red, "✗"), err)
		d.screen.line("%s", d.logTails())
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
