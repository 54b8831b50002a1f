package main

import (
	"bytes"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParallelStopsAtTheFirstError(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	require.NoError(t, parallel(4, 100, func(int) error { calls.Add(1); return nil }))
	require.EqualValues(t, 100, calls.Load())
	broken := errors.New("broken")
	require.ErrorIs(t, parallel(4, 100, func(int) error { return broken }), broken)
}

func round(seconds int) side {
	took := time.Duration(seconds) * time.Second
	return side{converged: took, podsReady: took, cpu: map[string]time.Duration{"etcd": took / 2}}
}

func TestReportPrintsEveryRoundAndTheMedianWithItsSpread(t *testing.T) {
	t.Parallel()
	r := report{service: []side{round(13), round(12), round(18)}, bare: []side{round(10), round(12), round(10)}}
	var out bytes.Buffer
	r.print(&out, options{connectors: 2, tasks: 3, workers: 1})
	require.Regexp(t, `round 3, connect-scheduler +18\.0 s +18\.0 s +9\.0 s`, out.String())
	require.Regexp(t, `round 1, bare client +- +10\.0 s +5\.0 s`, out.String())
	require.Regexp(t, `connect-scheduler +13\.0 \(12\.0 to 18\.0, n=3\) s`, out.String())
	require.Regexp(t, `ratio of each round +1\.30 \(1\.00 to 1\.80, n=3\) +1\.30 \(1\.00 to 1\.80, n=3\)`, out.String())
}

func TestReportOfAnInterruptedFirstRoundHasNoRatio(t *testing.T) {
	t.Parallel()
	r := report{service: []side{round(13)}}
	var out bytes.Buffer
	r.print(&out, options{connectors: 2, tasks: 3, workers: 1})
	require.Regexp(t, `ratio of each round +no rounds`, out.String())
}

func TestReportPrintsRequestsThatOnlyOneSideMakes(t *testing.T) {
	t.Parallel()
	service, bare := round(13), round(10)
	service.requests = map[string]float64{"apply secrets": 4, "get pods": 0.1}
	bare.requests = map[string]float64{"post secrets": 2}
	r := report{service: []side{service}, bare: []side{bare}}
	var out bytes.Buffer
	r.print(&out, options{connectors: 2, tasks: 3, workers: 1})
	require.Regexp(t, `apply secrets +2\.00 +0\.00`, out.String())
	require.Regexp(t, `post secrets +0\.00 +1\.00`, out.String())
	require.Regexp(t, `all +2\.05 +1\.00`, out.String())
	require.NotContains(t, out.String(), "get pods")
	require.Regexp(t, `etcd +3250\.0 ms +2500\.0 ms`, out.String())
}
