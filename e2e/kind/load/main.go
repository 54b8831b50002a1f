// Command load is the Kafka client of the suites. It runs in a pod, produces numbered records and counts the
// records of a topic. It also writes to volumes.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

type options struct {
	brokers    []string
	topic      string
	rate       int
	records    int
	prefix     string
	partitions int32
	replicas   int16
	count      int
	timeout    time.Duration
	minISR     int
	directory  string
	delivery   time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	pflag.StringSliceVar(&o.brokers, "brokers", []string{"kafka:9092"}, "bootstrap brokers")
	pflag.StringVar(&o.topic, "topic", "", "topic")
	pflag.IntVar(&o.rate, "rate", 100, "records per second")
	pflag.IntVar(&o.records, "records", 0, "number of records to produce; 0 produces until the end of the process")
	pflag.StringVar(&o.prefix, "prefix", "p", "prefix of the produced values")
	pflag.Int32Var(&o.partitions, "partitions", 3, "partitions of a new topic")
	pflag.Int16Var(&o.replicas, "replicas", 1, "replicas of a new topic")
	pflag.IntVar(&o.minISR, "min-isr", 1, "min.insync.replicas of a new topic")
	pflag.IntVar(&o.count, "count", 10, "number of records to read")
	pflag.StringVar(&o.directory, "directory", "", "directory of a volume to write to")
	pflag.DurationVar(&o.delivery, "delivery-timeout", 2*time.Minute, "time after which a record counts as refused")
	pflag.DurationVar(&o.timeout, "timeout", time.Minute, "time limit for reading")
	pflag.Parse()
	if err := run(ctx, pflag.Arg(0), o); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// run runs a command. "wait" keeps the pod running for kubectl exec.
func run(ctx context.Context, command string, o options) error {
	switch command {
	case "wait":
		<-ctx.Done()
		return nil
	case "topic":
		return createTopic(ctx, o)
	case "count":
		return count(ctx, o)
	case "read":
		return read(ctx, o, os.Stdout)
	case "produce":
		return produce(ctx, o)
	case "health":
		return health(ctx, o)
	case "synced":
		return synced(ctx, o)
	case "write":
		return write(ctx, o)
	default:
		return fmt.Errorf(
			"unknown command %q; the commands are wait, topic, count, produce, read, health, synced, write",
			command,
		)
	}
}

// createTopic creates a topic unless it exists.
func createTopic(ctx context.Context, o options) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(o.brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	minISR := strconv.Itoa(o.minISR)
	configs := map[string]*string{"min.insync.replicas": &minISR}
	_, err = kadm.NewClient(client).CreateTopic(ctx, o.partitions, o.replicas, configs, o.topic)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return nil
	}
	return err
}

// tally is the output of count. The suites decode it as env.Tally.
type tally struct {
	Records  int64            `json:"records"`
	Distinct int64            `json:"distinct"`
	Missing  int64            `json:"missing"`
	Keys     int              `json:"keys"`
	PerKey   map[string]int64 `json:"perKey"`
}

// count reads a topic from the beginning to its current end. Values have the format KEY-NUMBER.
func count(ctx context.Context, o options) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(o.brokers...),
		kgo.ConsumeTopics(o.topic),
		kgo.FetchMaxWait(200*time.Millisecond),
		kgo.ConsumeResetOffset(
			kgo.NewOffset().AtStart(),
		),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(ctx, o.topic)
	if err != nil {
		return err
	}
	open := map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		if end.Err == nil && end.Offset > 0 {
			open[end.Partition] = end.Offset
		}
	})
	seen, highest, t := map[string]bool{}, map[string]int64{}, tally{PerKey: map[string]int64{}}
	for len(open) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if end, there := open[r.Partition]; !there || r.Offset >= end {
				return
			}
			if r.Offset+1 == open[r.Partition] {
				delete(open, r.Partition)
			}
			if r.Attrs.IsControl() {
				return
			}
			value := strings.Trim(string(r.Value), `"`)
			key, number, _ := strings.Cut(value, "-")
			t.Records++
			t.PerKey[key]++
			seen[value] = true
			if n, err := strconv.ParseInt(number, 10, 64); err == nil {
				highest[key] = max(highest[key], n+1)
			}
		})
	}
	t.Distinct, t.Keys = int64(len(seen)), len(t.PerKey)
	for _, n := range highest {
		t.Missing += n
	}
	t.Missing -= t.Distinct
	return json.NewEncoder(os.Stdout).Encode(t)
}
