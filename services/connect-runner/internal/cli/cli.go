// Package cli is connect-runner's command line.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-runner/internal/config"
	"github.com/weir-dev/weir/services/connect-runner/internal/jvm"
	"github.com/weir-dev/weir/services/connect-runner/internal/outcome"
	"github.com/weir-dev/weir/services/connect-runner/internal/publish"
	"github.com/weir-dev/weir/services/connect-runner/internal/runner"
)

// ExitUsage is the exit code for a command line that cannot be used.
const ExitUsage = 2

// Main runs a command line and returns its exit code.
func Main(args []string) int {
	code := 0
	root := Root(os.Getenv, &code)
	root.SetArgs(args)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "connect-runner:", err)
		return ExitUsage
	}
	return code
}

// Root is the command with its subcommands; code gets the exit code of a run.
func Root(env func(string) string, code *int) *cobra.Command {
	root := &cobra.Command{
		Use:           "connect-runner",
		Short:         "Runs one Kafka Connect connector, or one of its tasks, in a pod",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		command(config.New(config.ModeConnector, env), "connector", "Run the connector and publish the configs of its tasks", code),
		command(config.New(config.ModeTask, env), "task", "Run one task", code),
		command(config.New(config.ModeValidate, env), "validate", "Ask the plugins whether the connector's configuration is valid", code),
	)
	offsets := &cobra.Command{Use: "offsets", Short: "List, alter or reset the offsets of a stopped connector, or fence its tasks"}
	for _, action := range []struct{ name, short string }{
		{"list", "List the connector's offsets"},
		{"alter", "Write the offsets of the file --offsets"},
		{"reset", "Forget all offsets: the connector starts from the beginning"},
		{"fence", "Keep the producers of an exactly-once source's former tasks from writing"},
	} {
		c := config.New(config.ModeOffsets, env)
		c.OffsetsAction = action.name
		offsets.AddCommand(command(c, action.name, action.short, code))
	}
	root.AddCommand(offsets)
	return root
}

func command(c *config.Config, use, short string, code *int) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.Validate(); err != nil {
				return err
			}
			*code = run(cmd.Context(), c)
			return nil
		},
	}
	c.AddFlags(cmd.Flags())
	return cmd
}

// run runs once and leaves the termination message.
func run(ctx context.Context, c *config.Config) int {
	log := logger(c.LogFormat, os.Stdout)
	r := &runner.Runner{Config: c, Log: log, Stdout: os.Stdout, Stderr: os.Stderr}
	if c.Mode == config.ModeValidate || c.Mode == config.ModeOffsets {
		// Standard output is the result's.
		log = logger(c.LogFormat, os.Stderr)
		r.Log, r.Stdout = log, os.Stderr
	}
	err := connect(c, r)
	if err == nil {
		err = r.Run(ctx)
	}
	if err == nil && r.Result() != nil {
		err = finish(c, r.Result(), log)
	}
	if err == nil {
		return 0
	}
	t := outcome.Termination(err, r.Failure())
	log.Error("ended", "reason", t.Reason, "message", t.Message)
	if w := (*written)(nil); !errors.As(err, &w) {
		write(c, t, log)
	}
	return outcome.Code(err)
}

// connect finds the place that task configs are published to.
func connect(c *config.Config, r *runner.Runner) error {
	if c.Mode != config.ModeConnector {
		return nil
	}
	if c.PublishTo != "" {
		r.Publisher = publish.Dir{Path: c.PublishTo}
		return nil
	}
	restConfig, err := rest.InClusterConfig()
	if c.Kubeconfig != "" {
		restConfig, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	}
	if err != nil {
		return fmt.Errorf("connect to Kubernetes: %w", err)
	}
	client, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return fmt.Errorf("connect to Kubernetes: %w", err)
	}
	r.Publisher = publish.Secret{Client: client.CoreV1().Secrets(c.Namespace), Namespace: c.Namespace, Connector: c.Name}
	return nil
}

// finish hands over the result of validate or offsets. An invalid configuration is a failure with a result.
func finish(c *config.Config, event *jvm.Event, log *slog.Logger) error {
	t := contract.Termination{Reason: contract.ReasonCompleted, Message: outcome.Line(event.Message)}
	var result any = contract.OffsetsResult{Message: event.Message, Offsets: event.Offsets}
	var invalid error
	if c.Mode == config.ModeValidate {
		found := contract.ValidationResult{Errors: event.Errors}
		result = found
		t.Message = "the configuration is valid"
		if len(found.Errors) > 0 {
			invalid = outcome.Errorf(contract.ReasonConfigInvalid, "%s", summary(found.Errors))
			t = outcome.Termination(invalid, contract.ReasonConfigInvalid)
		}
	}
	text, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	if err := output(c.Output, text); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	t.Result = text
	if line, err := json.Marshal(t); err != nil || len(line) > outcome.MaxTermination {
		t.Result = nil
	}
	write(c, t, log)
	if invalid != nil {
		return &written{invalid}
	}
	return nil
}

// written is an error whose termination message is in place already.
type written struct{ error }

func (w *written) Unwrap() error { return w.error }

// summary is all messages in one line, by field.
func summary(errs map[string][]string) string {
	var fields []string
	for _, field := range slices.Sorted(maps.Keys(errs)) {
		fields = append(fields, field+": "+strings.Join(errs[field], " "))
	}
	return strings.Join(fields, "; ")
}

func output(path string, text []byte) error {
	text = append(text, '\n')
	if path == "" {
		_, err := os.Stdout.Write(text)
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

func write(c *config.Config, t contract.Termination, log *slog.Logger) {
	if err := outcome.Write(c.TerminationLog, t); err != nil {
		log.Warn("the termination message is only in the log", "error", err)
	}
}

func logger(format string, out io.Writer) *slog.Logger {
	if format == "json" {
		return slog.New(slog.NewJSONHandler(out, nil))
	}
	return slog.New(slog.NewTextHandler(out, nil))
}
