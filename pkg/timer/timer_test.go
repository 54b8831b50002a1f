package timer_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/timer"
)

func TestSleepEndsAfterItsDurationOrWithTheContext(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sleep, ends, want time.Duration
		isWhole           bool
	}{
		"the duration":                {time.Second, time.Minute, time.Second, true},
		"the context ends":            {time.Minute, time.Second, time.Second, false},
		"the context has ended":       {time.Minute, 0, 0, false},
		"no duration, in any context": {0, time.Minute, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.ends)
				defer cancel()
				begun := time.Now()
				require.Equal(t, test.isWhole, timer.Sleep(ctx, test.sleep))
				require.Equal(t, test.want, time.Since(begun))
			})
		})
	}
}
