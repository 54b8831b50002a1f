//go:build linux

package app

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/weir-dev/weir/services/quotad/internal/reconcile"
)

// Exit codes of quotad check, as monitoring plugins use them.
const (
	exitDrift  = 1
	exitBroken = 2
)

// exitError is an error with an exit code.
type exitError struct {
	error
	code int
}

// ExitCode is the exit code of the process.
func (e exitError) ExitCode() int { return e.code }

// checkCommand returns the command that compares limits with what they should be.
func checkCommand() *cobra.Command {
	o := Defaults()
	command := &cobra.Command{
		Use:   "check",
		Short: "Print the bricks of this node and the limits that differ",
		Long: `check prints a line for each brick of this node: its state, its file system, the number of directories, and how
many of them have their limit. Below it prints each directory whose limit differs, and each project id with a limit that
quotad has not set, which is not an error. It changes nothing, and can run beside quotad. Volumes that no quotad limits
are listed as NotManaged.

Exit codes, as monitoring plugins use them:
  0   all limits are as they should be
  1   limits differ; a running quotad repairs them, unless the line says what to do
  2   a brick cannot limit directories, or the files of glusterd cannot be read`,
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			report, err := reconcile.Check(o.GlusterdDir, o.StateDir)
			if err != nil {
				return exitError{err, exitBroken}
			}
			if err := printReport(command.OutOrStdout(), report); err != nil {
				return err
			}
			switch {
			case report.Broken > 0:
				return exitError{fmt.Errorf("%d bricks or volumes cannot be used", report.Broken), exitBroken}
			case len(report.Lines) > 0:
				return exitError{fmt.Errorf("%d findings", len(report.Lines)), exitDrift}
			}
			return nil
		},
	}
	o.addDirs(command.Flags())
	return command
}

func printReport(to io.Writer, report reconcile.CheckReport) error {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VOLUME\tBRICK\tSTATE\tFILE SYSTEM\tDIRECTORIES\tENFORCED")
	for _, b := range report.Bricks {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%d\n", b.Volume, b.Path, b.State, b.FileSystem, b.Directories, b.Enforced)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, line := range slices.Concat(report.Lines, report.Notes) {
		if _, err := fmt.Fprintln(to, line); err != nil {
			return err
		}
	}
	return nil
}
