package main

import (
	"bytes"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPercentileIsAMeasuredValue(t *testing.T) {
	t.Parallel()
	one := []time.Duration{7}
	require.Equal(t, time.Duration(7), percentile(one, 50))
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	require.Equal(t, time.Duration(50), percentile(hundred, 50))
	require.Equal(t, time.Duration(99), percentile(hundred, 99))
	require.Equal(t, time.Duration(100), percentile(hundred, 100))
}

func TestMedian(t *testing.T) {
	t.Parallel()
	require.InDelta(t, 2, median([]float64{3, 1, 2}), 0)
	require.InDelta(t, 1.5, median([]float64{2, 1}), 0)
}

func TestEachStopsAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	var done atomic.Int64
	require.NoError(t, each(4, 100, func(int) error { done.Add(1); return nil }))
	require.EqualValues(t, 100, done.Load())
	broken := errors.New("broken")
	require.ErrorIs(t, each(4, 100, func(int) error { return broken }), broken)
}

func TestTheReportNamesBothSidesAndTheirRatio(t *testing.T) {
	t.Parallel()
	r := report{rounds: [][2]side{{
		{converged: 13 * time.Second, podsReady: 12 * time.Second, cpu: map[string]time.Duration{"etcd": 3 * time.Second}},
		{converged: 10 * time.Second, podsReady: 10 * time.Second, cpu: map[string]time.Duration{"etcd": 2 * time.Second}},
	}}}
	var out bytes.Buffer
	r.print(&out, options{connectors: 2, tasks: 3, workers: 1})
	require.Regexp(t, `connect-scheduler +13\.0 s +12\.0 s +3\.0 s`, out.String())
	require.Regexp(t, `bare client +- +10\.0 s +2\.0 s`, out.String())
	require.Regexp(t, `ratio \(median\) +1\.30 +1\.50`, out.String())
}
