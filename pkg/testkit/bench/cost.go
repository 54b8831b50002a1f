package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// Cost is what a number of objects costs. A benchmark with the flag -cost measures it once and writes it to a file, for
// `make bench-scale`.
type Cost struct {
	// Objects is the number of objects, for example of KafkaConnectors.
	Objects int `json:"objects"`
	// Seconds is the time from the creation of the first object until all are in their desired state.
	Seconds float64 `json:"seconds"`
	// CPUSeconds is the CPU time of the service meanwhile.
	CPUSeconds float64 `json:"cpuSeconds"`
	// OtherCPUSeconds is the CPU time of other programs meanwhile: the control plane, simulated kubelets and GlusterFS.
	OtherCPUSeconds float64 `json:"otherCPUSeconds"`
	// Requests is the number of API requests of all clients meanwhile.
	Requests float64 `json:"requests"`
	// EmptyMiB and MiB are the resident memory of the service before and after.
	EmptyMiB float64 `json:"emptyMiB"`
	MiB      float64 `json:"mib"`
}

// Write writes the cost as JSON.
func (c Cost) Write(file string) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}

// ReadCost reads what Write has written.
func ReadCost(file string) (Cost, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Cost{}, err
	}
	return decodeCost(data)
}

// printed is the prefix of the line of Print.
const printed = "cost: "

// Print writes the cost as a line, for a benchmark that is a test and may run on another kernel, without a file.
func (c Cost) Print(out io.Writer) error {
	data, err := json.Marshal(c)
	if err == nil {
		_, err = fmt.Fprintf(out, "\n%s%s\n", printed, data)
	}
	return err
}

// FindCost returns what Print has written to an output.
func FindCost(output string) (Cost, error) {
	for line := range strings.Lines(output) {
		if data, found := strings.CutPrefix(strings.TrimSpace(line), printed); found {
			return decodeCost([]byte(data))
		}
	}
	return Cost{}, fmt.Errorf("the benchmark has printed no line with %q", printed)
}

func decodeCost(data []byte) (Cost, error) {
	var c Cost
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("decode the cost: %w", err)
	}
	if c.Objects < 1 || c.Seconds <= 0 {
		return c, fmt.Errorf("the benchmark wrote the cost %+v", c)
	}
	return c, nil
}

// Measure is one figure of Cost per object.
type Measure struct {
	// Name is the heading of its column and plot, with the unit.
	Name string
	// Of returns the figure per object.
	Of func(Cost) float64
}

// Measures returns the figures per object that `make bench-scale` compares.
func Measures() []Measure {
	per := func(figure func(Cost) float64) func(Cost) float64 {
		return func(c Cost) float64 { return figure(c) / float64(c.Objects) }
	}
	return []Measure{
		{"time, ms per object", per(func(c Cost) float64 { return 1000 * c.Seconds })},
		{"CPU, ms per object", per(func(c Cost) float64 { return 1000 * c.CPUSeconds })},
		{"CPU of other programs, ms per object", per(func(c Cost) float64 { return 1000 * c.OtherCPUSeconds })},
		{"API requests per object", per(func(c Cost) float64 { return c.Requests })},
		{"memory, KiB per object", per(func(c Cost) float64 { return 1024 * (c.MiB - c.EmptyMiB) })},
	}
}
