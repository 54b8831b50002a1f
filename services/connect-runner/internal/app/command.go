// Package app is the composition root: it builds the command and connects the other packages.
package app

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/weir-dev/weir/services/connect-runner/internal/config"
	"github.com/weir-dev/weir/services/connect-runner/internal/publish"
)

// ExitUsage is the exit code for an invalid command line.
const ExitUsage = 2

// Main runs a command line and returns its exit code.
func Main(args []string) int {
	code := 0
	root := Command(os.Getenv, &code)
	root.SetArgs(args)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, publish.Manager+":", err)
		return ExitUsage
	}
	return code
}

// Command returns the root command. A run stores its exit code in code.
func Command(env func(string) string, code *int) *cobra.Command {
	root := &cobra.Command{
		Use:           publish.Manager,
		Short:         "Runs one Kafka Connect connector or one of its tasks in a pod",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		subcommand(
			config.New(config.ModeConnector, env),
			"connector",
			"Run the connector and publish its task configs",
			code,
		),
		subcommand(config.New(config.ModeTask, env), "task", "Run one task", code),
		subcommand(config.New(config.ModeValidate, env), "validate",
			"Validate the connector's configuration with its plugins", code),
	)
	offsets := &cobra.Command{
		Use:   "offsets",
		Short: "List, alter or reset the offsets of a stopped connector, or fence its tasks",
	}
	for _, action := range []struct{ name, short string }{
		{"list", "List the connector's offsets"},
		{"alter", "Write the offsets in the file --offsets"},
		{"reset", "Delete all offsets, so that the connector starts from the beginning"},
		{"fence", "Fence the producers of an exactly-once source's previous tasks"},
	} {
		c := config.New(config.ModeOffsets, env)
		c.OffsetsAction = action.name
		offsets.AddCommand(subcommand(c, action.name, action.short, code))
	}
	members := &cobra.Command{Use: "members", Short: "Manage the static members of a sink's consumer group"}
	removal := config.New(config.ModeOffsets, env)
	removal.OffsetsAction = config.ActionRemoveMembers
	members.AddCommand(subcommand(removal, "remove",
		"Remove the members of tasks that a scale-down has deleted, so that their partitions are reassigned at once", code))
	root.AddCommand(offsets, members)
	return root
}

func subcommand(c *config.Config, use, short string, code *int) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.Validate(); err != nil {
				return err
			}
			exit, err := run(cmd.Context(), c)
			*code = exit
			return err
		},
	}
	c.AddFlags(cmd.Flags())
	return cmd
}
