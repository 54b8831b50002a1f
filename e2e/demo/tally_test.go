package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTallyCountsMissingAndRepeatedRecords(t *testing.T) {
	t.Parallel()
	var counted tally
	for _, record := range []string{"0-0", "0-1", "0-1", "1-0", "1-3", "other", "x-y"} {
		counted.add(record)
	}
	require.Equal(t, 5, counted.count)
	require.Equal(t, 2, counted.missing())
	require.Equal(t, 1, counted.twice())
	require.Len(t, counted.last, 5)
}
