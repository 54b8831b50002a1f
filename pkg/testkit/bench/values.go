package bench

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Values is a series of measurements, usually one per round.
type Values []float64

// Seconds converts durations to Values in seconds.
func Seconds(durations ...time.Duration) Values {
	values := make(Values, len(durations))
	for i, d := range durations {
		values[i] = d.Seconds()
	}
	return values
}

// Ratios divides each value by the baseline's value of the same round. It ignores rounds that one of the two did
// not finish.
func Ratios(values, baseline Values) Values {
	ratios := Values{}
	for i := range min(len(values), len(baseline)) {
		if baseline[i] != 0 {
			ratios = append(ratios, values[i]/baseline[i])
		}
	}
	return ratios
}

// Median returns the middle value, or the mean of the two middle values. It returns NaN for no values.
func (v Values) Median() float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(v))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Percentile returns the smallest measured value that is at least as large as p percent of all values (nearest
// rank). It returns NaN for no values.
func (v Values) Percentile(p float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(v))
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Summary formats the median, the smallest and the largest value and the number of values, such as "1.12 (1.05 to
// 1.31, n=5)". format is the verb for one value, such as "%.2f".
func (v Values) Summary(format string) string {
	if len(v) == 0 {
		return "no rounds"
	}
	return fmt.Sprintf(format+" ("+format+" to "+format+", n=%d)", v.Median(), slices.Min(v), slices.Max(v), len(v))
}
