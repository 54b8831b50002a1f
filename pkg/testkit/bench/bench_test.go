package bench

import (
	"context"
	"errors"
	"math"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRoundsAlternateTheOrderOfTheSubjects(t *testing.T) {
	t.Parallel()
	var order []string
	subject := func(name string) func(int) error {
		return func(int) error { order = append(order, name); return nil }
	}
	require.NoError(t, Rounds(3, subject("service"), subject("baseline")))
	require.Equal(t, []string{"service", "baseline", "baseline", "service", "service", "baseline"}, order)
}

func TestRoundsStopAtTheFirstError(t *testing.T) {
	t.Parallel()
	broken, runs := errors.New("broken"), 0
	err := Rounds(5, func(round int) error {
		runs++
		if round == 1 {
			return broken
		}
		return nil
	})
	require.ErrorIs(t, err, broken)
	require.EqualError(t, err, "round 2 of 5: broken")
	require.Equal(t, 2, runs)
}

func TestMedianOfOddAndEvenNumbersOfValues(t *testing.T) {
	t.Parallel()
	require.InDelta(t, 2, Values{3, 1, 2}.Median(), 0)
	require.InDelta(t, 1.5, Values{2, 1}.Median(), 0)
	require.True(t, math.IsNaN(Values{}.Median()))
}

func TestPercentileIsAMeasuredValue(t *testing.T) {
	t.Parallel()
	require.InDelta(t, 7, Values{7}.Percentile(50), 0)
	var hundred Values
	for i := range 100 {
		hundred = append(hundred, float64(100-i))
	}
	for _, p := range []float64{1, 50, 99, 100} {
		require.InDelta(t, p, hundred.Percentile(p), 0)
	}
	require.InDelta(t, 1, hundred.Percentile(0), 0)
}

func TestSummaryShowsMedianSpreadAndRounds(t *testing.T) {
	t.Parallel()
	require.Equal(t, "2.0 (1.0 to 4.0, n=3)", Values{4, 1, 2}.Summary("%.1f"))
	require.Equal(t, "no rounds", Values{}.Summary("%.1f"))
}

func TestRatiosComparePerRound(t *testing.T) {
	t.Parallel()
	require.Equal(t, Values{2, 3}, Ratios(Seconds(2*time.Second, 3*time.Second, time.Second), Values{1, 1}))
	require.Empty(t, Ratios(Values{1}, Values{0}))
}

func TestSleepEndsWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, Sleep(ctx, time.Hour), context.Canceled)
	require.NoError(t, Sleep(t.Context(), time.Millisecond))
}

func TestMemoryOfThisProcess(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("this system has no /proc")
	}
	resident, peak := Memory(os.Getpid())
	require.Positive(t, resident)
	require.GreaterOrEqual(t, peak, resident)
	resident, peak = Memory(-1)
	require.Zero(t, resident+peak)
}

func TestCPUOfThisProcessIncreases(t *testing.T) {
	t.Parallel()
	before, deadline := CPU(os.Getpid()), time.Now().Add(time.Minute)
	for CPU(os.Getpid()) <= before {
		require.True(t, time.Now().Before(deadline), "the CPU time stays %v s", before)
	}
	require.Zero(t, CPU(0))
}
