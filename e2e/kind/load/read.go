package main

import (
	"context"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kgo"
)

// read prints the values of the first records of a topic, one per line. It waits for records that do not exist yet.
func read(ctx context.Context, o options, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(o.brokers...), kgo.ConsumeTopics(o.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	defer client.Close()
	for printed := 0; ; {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("topic %s has %d records after %s, want %d", o.topic, printed, o.timeout, o.count)
		}
		// Errors such as an unknown topic are retried until the time limit.
		for records := fetches.RecordIter(); !records.Done(); {
			if _, err := fmt.Fprintf(out, "%s\n", records.Next().Value); err != nil {
				return err
			}
			if printed++; printed == o.count {
				return nil
			}
		}
	}
}
