package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-runner/internal/config"
	"github.com/weir-dev/weir/services/connect-runner/internal/jvm"
	"github.com/weir-dev/weir/services/connect-runner/internal/outcome"
	"github.com/weir-dev/weir/services/connect-runner/internal/publish"
	"github.com/weir-dev/weir/services/connect-runner/internal/runner"
)

// run runs the mode, writes the termination message and returns the exit code. Its error is an invalid flag of the
// log.
func run(ctx context.Context, c *config.Config) (int, error) {
	var stdout io.Writer = os.Stdout
	if c.Mode == config.ModeValidate || c.Mode == config.ModeOffsets {
		// Standard output is for the result.
		stdout = os.Stderr
	}
	log, err := c.Log.New(stdout)
	if err != nil {
		return ExitUsage, err
	}
	r := &runner.Runner{Config: c, Log: log, Stdout: stdout, Stderr: os.Stderr}
	if r.Publisher, err = publisher(c); err == nil {
		err = r.Run(ctx)
	}
	if err == nil && r.Result() != nil {
		err = writeResult(c, r.Result(), log)
	}
	if err == nil {
		return 0, nil
	}
	t := outcome.Termination(err, r.DefaultReason())
	log.Error("run failed", "reason", t.Reason, "message", t.Message)
	if reported := (*reportedError)(nil); !errors.As(err, &reported) {
		writeTermination(c, t, log)
	}
	return outcome.Code(err), nil
}

// publisher returns the destination of the task configs; nil in modes that publish none.
func publisher(c *config.Config) (publish.Publisher, error) {
	if c.Mode != config.ModeConnector {
		return nil, nil
	}
	if c.PublishTo != "" {
		return publish.Dir{Path: c.PublishTo}, nil
	}
	restConfig, err := rest.InClusterConfig()
	if c.Kubeconfig != "" {
		restConfig, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to Kubernetes: %w", err)
	}
	client, err := publish.NewSecrets(restConfig, c.Namespace)
	if err != nil {
		return nil, fmt.Errorf("connect to Kubernetes: %w", err)
	}
	return publish.Secret{
		Client:    client,
		Namespace: c.Namespace,
		Connector: c.Name,
	}, nil
}

// writeResult writes the result of validate or offsets. An invalid configuration is an error that also has a result.
func writeResult(c *config.Config, event *jvm.Event, log *slog.Logger) error {
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
	writeTermination(c, t, log)
	if invalid != nil {
		return &reportedError{invalid}
	}
	return nil
}

// reportedError is an error whose termination message is already written.
type reportedError struct{ error }

func (e *reportedError) Unwrap() error { return e.error }

// summary joins all messages in one line, ordered by field.
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

func writeTermination(c *config.Config, t contract.Termination, log *slog.Logger) {
	if err := outcome.Write(c.TerminationLog, t); err != nil {
		log.Warn("the termination message was not written; see the log line above", "error", err)
	}
}
