// Package check contains the common part of the commands that check the repository.
package check

import (
	"flag"
	"fmt"
	"os"
)

// Main runs a check on the directory of the flag -root and prints its findings, one per line. It returns the exit code,
// which is 0 without findings, else 1. name starts the message of an error.
func Main(name string, run func(root string) ([]string, error)) int {
	root := flag.String("root", "..", "directory of the repository")
	flag.Parse()

	findings, err := run(*root)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	for _, finding := range findings {
		fmt.Fprintln(os.Stderr, finding)
	}
	if len(findings) > 0 {
		return 1
	}
	return 0
}
