package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChaptersRunInTheirOrderAndUnknownOnesAreRejected(t *testing.T) {
	t.Parallel()
	chosen, err := choose([]string{"volumes", "connect"})
	require.NoError(t, err)
	require.Len(t, chosen, 2)
	require.Equal(t, "connect", chosen[0].name)
	chosen, err = choose(nil)
	require.NoError(t, err)
	require.Len(t, chosen, 5)
	chosen, err = choose([]string{"quota", "gluster"})
	require.NoError(t, err)
	require.Len(t, chosen, 2)
	require.Equal(t, "gluster", chosen[0].name)
	_, err = choose([]string{"connect", "quotas"})
	require.EqualError(t, err, `unknown chapter "quotas"; the chapters are: connect, drains, volumes, gluster, quota`)
}
