package suites

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/weir-dev/weir/e2e/kind/internal/env"
	"github.com/weir-dev/weir/e2e/kind/internal/suite"
)

const togetherNamespace = "e2e-together"

func (e *environment) together(ctx context.Context, r *suite.Results) error {
	for _, service := range []string{"connect-scheduler", "drain-cleaner"} {
		if err := e.install(ctx, service); err != nil {
			return err
		}
	}
	if err := e.threeBrokers(ctx, togetherNamespace); err != nil {
		return err
	}
	return steps(ctx, r, []step{
		{"connectors that share a volume run on three brokers", setupLimit, func(ctx context.Context) (string, error) {
			if err := e.ApplyFile(ctx, togetherNamespace, "connect-drain.yaml"); err != nil {
				return "", err
			}
			if err := e.shareVolume(ctx, togetherNamespace); err != nil {
				return "", err
			}
			tally, err := e.moving(ctx, togetherNamespace, "archive", env.Tally{}, 2)
			return fmt.Sprintf("%d records passed through topic, file and topic", tally.Records), err
		}},
		{"every worker is drained while the connectors run", 2 * drainLimit, func(ctx context.Context) (string, error) {
			return e.drainAll(ctx, togetherNamespace)
		}},
		{"the connectors lost no record between topic and file", setupLimit, e.fileTally},
		{
			"the brokers lost no record; no partition was offline or below min.insync.replicas",
			stepLimit,
			func(ctx context.Context) (string, error) {
				return e.drainTally(ctx, togetherNamespace)
			},
		},
	})
}

// fileTally stops the source and waits until the sink has written all records.
func (e *environment) fileTally(ctx context.Context) (string, error) {
	for name, tasks := range sharingConnectors {
		if _, err := e.Connector(ctx, togetherNamespace, name, env.Running(tasks)); err != nil {
			return "", err
		}
	}
	if err := e.merge(ctx, togetherNamespace, "numbers", `{"spec":{"state":"stopped"}}`); err != nil {
		return "", err
	}
	if err := e.deleted(ctx, togetherNamespace, ofConnector("numbers")); err != nil {
		return "", err
	}
	tally, err := e.Count(ctx, togetherNamespace, "numbers")
	if err != nil {
		return "", err
	}
	var lines, distinct int64
	err = env.Until(ctx, "the sink", func(ctx context.Context) error {
		const count = "wc -l <" + numbersFile + "; sort -u " + numbersFile + " | wc -l"
		out, err := e.Kubectl(ctx, "exec", "-n", togetherNamespace, "numbers-to-file-tasks-0", "--", "sh", "-c", count)
		if err != nil {
			return err
		}
		counts := strings.Fields(out)
		if len(counts) != 2 {
			return fmt.Errorf("unexpected output %q", out)
		}
		lines, _ = strconv.ParseInt(counts[0], 10, 64)
		distinct, _ = strconv.ParseInt(counts[1], 10, 64)
		if distinct < tally.Distinct {
			return fmt.Errorf("%d of %d records are in the file", distinct, tally.Distinct)
		}
		return nil
	})
	result := fmt.Sprintf(
		"produced %d, delivered %d, lost %d, duplicated %d in the topic and %d in the file",
		tally.Distinct+tally.Missing,
		distinct,
		tally.Distinct+tally.Missing-distinct,
		tally.Duplicated(),
		lines-distinct-tally.Duplicated(),
	)
	if err == nil && tally.Missing > 0 {
		err = errors.New(result)
	}
	return result, err
}
