package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"
)

func TestTimeoutsDeriveFromTheGracePeriodOfThePod(t *testing.T) {
	for _, test := range []struct {
		name, seconds string
		args          []string
		grace, stop   time.Duration
	}{
		{"the default of connect-scheduler", "60", nil, 57 * time.Second, 50 * time.Second},
		{"a long period is used", "300", nil, 297 * time.Second, 290 * time.Second},
		{"a short period leaves time for the flush", "30", nil, 27 * time.Second, 20 * time.Second},
		{"a very short period is divided", "4", nil, 2 * time.Second, time.Second},
		{"a scheduler that does not pass it", "", nil, 57 * time.Second, 50 * time.Second},
		{"an invalid value", "soon", nil, 57 * time.Second, 50 * time.Second},
		{"zero", "0", nil, 57 * time.Second, 50 * time.Second},
		{"the flag overrides it", "300", []string{"--grace=20s"}, 20 * time.Second, 13 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := parse(t, ModeTask, map[string]string{contract.EnvGracePeriod: test.seconds}, test.args...)
			require.Equal(t, test.grace, c.Grace)
			require.Equal(t, test.stop, c.TaskStopTimeout())
		})
	}
}
