package suite

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func passing(context.Context) (string, error) { return "3 pods", nil }

func TestRunPrintsEveryCheckAndContinuesAfterAFailedSuite(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken\nsecond line")
	suites := []Suite{
		{Name: "first", Description: "fails", Run: func(ctx context.Context, r *Results) error {
			if err := r.Step(ctx, "a step that works", time.Minute, passing); err != nil {
				return err
			}
			return r.Step(ctx, "a step that fails", time.Minute, func(context.Context) (string, error) { return "", broken })
		}},
		{Name: "second", Description: "works", Run: func(ctx context.Context, r *Results) error {
			r.Table([][]string{{"DIRECTORY", "NODE"}, {"/mnt/data/a", "worker"}})
			return r.Step(ctx, "another step", time.Minute, passing)
		}},
		{Name: "third", Description: "has no setup", Run: func(context.Context, *Results) error { return broken }},
	}
	var out bytes.Buffer
	var diagnosed []string
	err := Run(t.Context(), &out, suites, func(_ context.Context, s Suite) { diagnosed = append(diagnosed, s.Name) })
	require.ErrorIs(t, err, broken)
	require.Equal(t, []string{"first", "third"}, diagnosed)
	require.Regexp(
		t,
		`first: fails\n  ok   a step that works +0\.0s  3 pods\n  FAIL a step that fails +0\.0s  broken\n`,
		out.String(),
	)
	require.Regexp(t, `second: works\n  ok   another step +0\.0s  3 pods\n\n`+
		`  DIRECTORY    NODE\n  /mnt/data/a  worker\n`, out.String())
	require.Regexp(t, `third: has no setup\n  FAIL set up the suite +0\.0s  broken\n`, out.String())
}

func TestStepEndsAtItsTimeLimit(t *testing.T) {
	t.Parallel()
	r := Results{out: &bytes.Buffer{}}
	err := r.Step(t.Context(), "a step that does not end", time.Millisecond, func(ctx context.Context) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
