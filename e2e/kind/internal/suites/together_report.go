package suites

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-dev/weir/e2e/kind/internal/env"
)

// figures are what the suite together has counted.
type figures struct {
	// drains are those of all workers, repeated the number of those that were started again.
	drains   []drained
	repeated int
	// brokers are the figures of the whole suite. beforeLoss is the part before the loss of the node, reinstalled that of
	// the time without brokers, regular that without both.
	brokers                          brokerFigures
	beforeLoss, reinstalled, regular partitionHealth
	// file has the records of the connectors.
	file  fileFigures
	wrong int
	// complete is set when all are known.
	complete bool
}

// fileFigures compare the records of a source connector with the topic and with the file of a sink connector.
type fileFigures struct{ produced, delivered, inTopic, inFile int64 }

func (f fileFigures) lost() int64 { return f.produced - f.delivered }

// since returns the difference to earlier observations.
func (h partitionHealth) since(earlier partitionHealth) partitionHealth {
	return partitionHealth{h.Observations - earlier.Observations, h.Offline - earlier.Offline,
		h.UnderMinISR - earlier.UnderMinISR}
}

func (h partitionHealth) String() string {
	return fmt.Sprintf("%d offline, %d under min ISR in %d checks", h.Offline, h.UnderMinISR, h.Observations)
}

// fileTally stops the source and waits until the sink has written all records.
func (c *combined) fileTally(ctx context.Context) (string, error) {
	if err := c.connectorsRun(ctx, c.namespace); err != nil {
		return "", err
	}
	if err := c.merge(ctx, c.namespace, "numbers", `{"spec":{"state":"stopped"}}`); err != nil {
		return "", err
	}
	if err := c.deleted(ctx, c.namespace, ofConnector("numbers")); err != nil {
		return "", err
	}
	tally, err := c.Count(ctx, c.namespace, "numbers")
	if err != nil {
		return "", err
	}
	f := fileFigures{produced: tally.Distinct + tally.Missing, inTopic: tally.Duplicated()}
	err = env.Until(ctx, "the sink", func(ctx context.Context) error {
		const count = "wc -l <" + numbersFile + "; sort -u " + numbersFile + " | wc -l"
		out, err := c.Kubectl(ctx, "exec", "-n", c.namespace, "numbers-to-file-tasks-0", "--", "sh", "-c", count)
		if err != nil {
			return err
		}
		counts := strings.Fields(out)
		if len(counts) != 2 {
			return fmt.Errorf("unexpected output %q", out)
		}
		lines, err := strconv.ParseInt(counts[0], 10, 64)
		if err != nil {
			return err
		}
		if f.delivered, err = strconv.ParseInt(counts[1], 10, 64); err != nil {
			return err
		}
		f.inFile = lines - f.delivered - f.inTopic
		if f.delivered < tally.Distinct {
			return fmt.Errorf("%d of %d records are in the file", f.delivered, tally.Distinct)
		}
		return nil
	})
	c.figures.file = f
	result := fmt.Sprintf("produced %d, delivered %d, lost %d, duplicated %d in the topic and %d in the file",
		f.produced, f.delivered, f.lost(), f.inTopic, f.inFile)
	if err == nil && f.lost() != 0 {
		err = errors.New(result)
	}
	return result, err
}

// tally counts the records of the producer and what is wrong, and returns an error if one of the figures is.
func (c *combined) tally(ctx context.Context) (string, error) {
	f := &c.figures
	var err error
	// One broker is lost, so not all replicas are in sync.
	f.brokers, err = c.brokerTally(ctx, c.namespace, func(context.Context) error { return nil })
	if err != nil {
		return "", err
	}
	f.regular = f.beforeLoss.since(f.reinstalled)
	if f.wrong, err = c.foreign(ctx, c.lost); err != nil {
		return "", err
	}
	f.complete = true
	wrong := f.problems()
	for _, service := range slices.Sorted(maps.Keys(c.kills.killed)) {
		if c.kills.killed[service] == 0 {
			wrong = append(wrong, "no pod of "+service+" was deleted")
		}
	}
	if len(wrong) > 0 {
		return "", errors.New(strings.Join(wrong, "; "))
	}
	return fmt.Sprintf("%d records acknowledged, 0 lost; partitions %s; 0 directories with another pod",
		f.brokers.acknowledged, f.regular), nil
}

// problems returns the figures that are wrong.
func (f *figures) problems() []string {
	var wrong []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	b := f.brokers
	check(b.acknowledged > 0 && b.delivered > 0, "%d records were acknowledged and %d delivered", b.acknowledged,
		b.delivered)
	check(b.lost == 0 && b.refused == 0, "%d records are lost and %d were refused", b.lost, b.refused)
	check(f.regular.Observations > 0, "the partitions were not observed")
	check(f.regular.Offline == 0 && f.regular.UnderMinISR == 0, "partitions: %s", f.regular)
	check(f.wrong == 0, "%d pods used the directory of another", f.wrong)
	check(len(f.drains) == 3, "%d nodes were drained", len(f.drains))
	return wrong
}

// table has all figures.
func (c *combined) table() [][]string {
	f := &c.figures
	rows := [][]string{{"FIGURE", "COUNT"}}
	add := func(name string, value any) { rows = append(rows, []string{name, fmt.Sprint(value)}) }
	for _, d := range f.drains {
		add("seconds to drain "+d.node, fmt.Sprintf("%.0f", d.took.Seconds()))
	}
	for _, service := range slices.Sorted(maps.Keys(c.kills.killed)) {
		add("pods killed of "+service, c.kills.killed[service])
	}
	if !f.complete {
		return rows
	}
	add("records produced with acks=all", f.brokers.acknowledged+f.brokers.refused)
	add("records produced with acks=all and delivered", f.brokers.delivered)
	add("records produced with acks=all and lost", f.brokers.lost)
	add("records produced with acks=all and duplicated", f.brokers.duplicated)
	add("records produced by connectors", f.file.produced)
	add("records produced by connectors and delivered", f.file.delivered)
	add("records produced by connectors and lost", f.file.lost())
	add("records produced by connectors and duplicated", f.file.inTopic+f.file.inFile)
	add("partitions", f.regular)
	add("partitions while no broker was installed", f.reinstalled)
	add("partitions after the loss of a node", f.brokers.partitions.since(f.beforeLoss))
	add("directories used by the wrong replica", f.wrong)
	add("drains repeated because drain-cleaner did not answer", f.repeated)
	return rows
}
