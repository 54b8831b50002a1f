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

const togetherSpace = "e2e-together"

func (e *environment) together(ctx context.Context, p *suite.Proof) error {
	for service, deployment := range map[string]string{"connect-scheduler": "connect-scheduler", "drain-cleaner": "weir-drain-cleaner"} {
		if err := e.install(ctx, service, deployment); err != nil {
			return err
		}
	}
	if err := e.threeBrokers(ctx, togetherSpace); err != nil {
		return err
	}
	return steps(ctx, p, []step{
		{"connectors that share a volume are at work on three brokers", setup, func(ctx context.Context) (string, error) {
			if err := e.ApplyFile(ctx, togetherSpace, "connect-drain.yaml"); err != nil {
				return "", err
			}
			if err := e.shareVolume(ctx, togetherSpace); err != nil {
				return "", err
			}
			tally, err := e.moving(ctx, togetherSpace, "archive", env.Tally{}, 2)
			return fmt.Sprintf("%d records came through topic, file and topic", tally.Records), err
		}},
		{"every worker is drained in turn while they work", 2 * rolling, func(ctx context.Context) (string, error) {
			return e.drainAll(ctx, togetherSpace)
		}},
		{"the connectors lost no record on their way from topic to file", setup, e.fileTally},
		{"the brokers lost no record, and no partition was offline or below min.insync.replicas", patience, func(ctx context.Context) (string, error) {
			return e.drainTally(ctx, togetherSpace)
		}},
	})
}

// fileTally ends the source, and waits until the sink has written all there is.
func (e *environment) fileTally(ctx context.Context) (string, error) {
	for name, tasks := range sharing {
		if _, err := e.Connector(ctx, togetherSpace, name, env.Running(tasks)); err != nil {
			return "", err
		}
	}
	if err := e.merge(ctx, togetherSpace, "numbers", `{"spec":{"state":"stopped"}}`); err != nil {
		return "", err
	}
	if err := e.gone(ctx, togetherSpace, ofConnector("numbers")); err != nil {
		return "", err
	}
	tally, err := e.Count(ctx, togetherSpace, "numbers")
	if err != nil {
		return "", err
	}
	var lines, distinct int64
	err = env.Until(ctx, "the sink", func(ctx context.Context) error {
		out, err := e.Kubectl(ctx, "exec", "-n", togetherSpace, "numbers-to-file-tasks-0", "--", "sh", "-c", "wc -l <"+numbersFile+"; sort -u "+numbersFile+" | wc -l")
		if err != nil {
			return err
		}
		counts := strings.Fields(out)
		if len(counts) != 2 {
			return fmt.Errorf("counted %q", out)
		}
		lines, _ = strconv.ParseInt(counts[0], 10, 64)
		distinct, _ = strconv.ParseInt(counts[1], 10, 64)
		if distinct < tally.Distinct {
			return fmt.Errorf("%d of %d records are in the file", distinct, tally.Distinct)
		}
		return nil
	})
	seen := fmt.Sprintf("produced %d, delivered %d, lost %d, duplicated %d in the topic and %d in the file",
		tally.Distinct+tally.Missing, distinct, tally.Distinct+tally.Missing-distinct, tally.Duplicated(), lines-distinct-tally.Duplicated())
	if err == nil && tally.Missing > 0 {
		err = errors.New(seen)
	}
	return seen, err
}
