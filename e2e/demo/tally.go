package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// tally counts the records of the connector in records.yaml. A record is TASK-NUMBER, and each task counts from 0.
type tally struct {
	// seen counts each number by task.
	seen  map[string]map[int]int
	count int
	// last are the last records that were read.
	last []string
}

func (t *tally) add(record string) {
	task, text, found := strings.Cut(record, "-")
	number, err := strconv.Atoi(text)
	if !found || err != nil {
		return
	}
	if t.seen == nil {
		t.seen = map[string]map[int]int{}
	}
	if t.seen[task] == nil {
		t.seen[task] = map[int]int{}
	}
	t.seen[task][number]++
	t.count++
	t.last = append(t.last, record)
	t.last = t.last[max(0, len(t.last)-6):]
}

// missing returns how many numbers below the highest of each task are missing.
func (t *tally) missing() (n int) {
	for _, numbers := range t.seen {
		highest := 0
		for number := range numbers {
			highest = max(highest, number)
		}
		n += highest + 1 - len(numbers)
	}
	return n
}

// twice returns how many records repeat another one.
func (t *tally) twice() int {
	n := t.count
	for _, numbers := range t.seen {
		n -= len(numbers)
	}
	return n
}

// readTally counts the records that a topic has now.
func readTally(ctx context.Context, admin *kadm.Client, bootstrap, topic string) (tally, error) {
	var t tally
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return t, fmt.Errorf("read the end of topic %s: %w", topic, err)
	}
	unread := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			unread[o.Partition] = o.Offset
		}
	})
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(bootstrap, ",")...), kgo.ConsumeTopics(topic),
		kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return t, err
	}
	defer client.Close()
	for len(unread) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return t, fmt.Errorf("read topic %s: %w", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset < ends[topic][r.Partition].Offset {
				t.add(string(r.Value))
			}
			if r.Offset+1 >= unread[r.Partition] {
				delete(unread, r.Partition)
			}
		})
	}
	return t, nil
}
