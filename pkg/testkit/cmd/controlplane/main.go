// Command controlplane builds the programs of the embedded control plane before the tests.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/weir-dev/weir/pkg/testkit/binaries"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) != 2 || os.Args[1] != "build" {
		fmt.Fprintln(
			os.Stderr,
			"usage: controlplane build\nPrints the directory of the programs. Reports progress to stderr.",
		)
		os.Exit(2)
	}
	set, err := binaries.Ensure(ctx, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
	fmt.Println(set.Dir)
}
