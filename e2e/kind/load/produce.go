package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// produce writes p-0, p-1, … with acks=all until the context ends or all records are written. Each second it prints
// the number of acknowledged records.
func produce(ctx context.Context, o options) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(o.brokers...),
		kgo.DefaultProduceTopic(o.topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.RoundRobinPartitioner()),
		kgo.RecordDeliveryTimeout(o.delivery),
		kgo.UnknownTopicRetries(-1),
	) // the topic is created while this starts
	if err != nil {
		return err
	}
	defer client.Close()
	var acknowledged, refused atomic.Int64
	tick := time.NewTicker(time.Second / time.Duration(max(1, o.rate)))
	defer tick.Stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	report := func() { fmt.Printf("{\"acknowledged\":%d,\"refused\":%d}\n", acknowledged.Load(), refused.Load()) }
	flush := func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		err := client.Flush(ctx)
		report()
		return err
	}
	for n := 0; ; {
		if o.records > 0 && n == o.records {
			return flush()
		}
		select {
		case <-ctx.Done():
			return flush()
		case <-second.C:
			report()
		case <-tick.C:
			client.Produce(
				context.WithoutCancel(ctx),
				&kgo.Record{Value: fmt.Appendf(nil, "%s-%d", o.prefix, n)},
				func(_ *kgo.Record, err error) {
					if err != nil {
						refused.Add(1)
					} else {
						acknowledged.Add(1)
					}
				},
			)
			n++
		}
	}
}

// health prints each second the number of observed partitions without a leader and with fewer in-sync replicas than
// min.insync.replicas, summed over all observations.
func health(ctx context.Context, o options) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(o.brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	var observations, offline, under int
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		topics, err := admin.ListTopics(ctx, o.topic)
		if err == nil && len(topics[o.topic].Partitions) > 0 {
			observations++
			for _, p := range topics[o.topic].Partitions {
				if p.Leader < 0 || p.Err != nil {
					offline++
				}
				if len(p.ISR) < o.minISR {
					under++
				}
			}
		}
		report := map[string]int{"observations": observations, "offline": offline, "underMinISR": under}
		if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-second.C:
		}
	}
}

// synced returns nil when all replicas of a topic are in sync.
func synced(ctx context.Context, o options) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(o.brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	topics, err := kadm.NewClient(client).ListTopics(ctx, o.topic)
	if err != nil {
		return err
	}
	if len(topics[o.topic].Partitions) == 0 {
		return fmt.Errorf("topic %s does not exist", o.topic)
	}
	for _, p := range topics[o.topic].Partitions {
		if p.Err != nil || len(p.ISR) < len(p.Replicas) {
			return fmt.Errorf("partition %d: %d of %d replicas are in sync", p.Partition, len(p.ISR), len(p.Replicas))
		}
	}
	return nil
}
