package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/testkit/bench"
)

func TestReportPrintsEveryRoundTheRatioAndTheRates(t *testing.T) {
	t.Parallel()
	r := report{
		service: []result{
			{2 * time.Second, 3 * time.Second, 4 * time.Second}, {4 * time.Second, 5 * time.Second, 6 * time.Second},
		},
		bare: []result{
			{created: 2 * time.Second, available: 2 * time.Second}, {created: 2 * time.Second, available: 4 * time.Second},
		},
		localPath: bench.Values{0.5}, localPathTuned: bench.Values{4},
		writes: map[string]float64{"create persistentvolumes": 8},
		load: load{map[string]float64{
			"post persistentvolumes": 8, "patch kafkalocalvolumesets status": 4, "get pods": 0.01,
		}, 0.2},
		bareLoad: load{map[string]float64{"post persistentvolumes": 8}, 0.1},
	}
	var out bytes.Buffer
	r.print(&out, options{sets: 2, replicas: 2, templates: 2, nodes: 1})
	require.Regexp(t, `round 2, volume-provisioner +4\.00 s +5\.00 s +6\.00 s`, out.String())
	require.Regexp(t, `round 2, bare client +2\.00 s +4\.00 s +-`, out.String())
	require.Regexp(t, `ratio of each round +1\.50 \(1\.00 to 2\.00, n=2\) +1\.38 \(1\.25 to 1\.50, n=2\) +`+
		`1\.75 \(1\.50 to 2\.00, n=2\)`, out.String())
	require.Regexp(t, `volume-provisioner +3 \(2 to 4, n=2\)`, out.String())
	require.Regexp(t, `default limits +0\.50 \(0\.50 to 0\.50, n=1\)`, out.String())
	require.Regexp(t, `create persistentvolumes +1\.00 +8`, out.String())
	require.Regexp(t, `post persistentvolumes +1\.000 +1\.000`, out.String())
	require.Regexp(t, `patch kafkalocalvolumesets status +0\.500 +0\.000`, out.String())
	require.NotContains(t, out.String(), "get pods")
	require.Regexp(t, `CPU of the API server +25\.00 ms +12\.50 ms`, out.String())
	require.Regexp(t, `ratio of requests, of CPU +1\.50, 2\.00`, out.String())
	require.NotContains(t, out.String(), "REAL AGENT")
}

func TestAnotherNumberOfVolumesKeepsTheVolumesOfANode(t *testing.T) {
	t.Parallel()
	o := options{sets: 100, replicas: 5, templates: 2, nodes: 10}
	more := o.with(10000)
	require.Equal(t, 10000, more.volumes())
	require.Equal(t, 100, more.nodes)
	require.Equal(t, 1, o.with(1).nodes)
}
