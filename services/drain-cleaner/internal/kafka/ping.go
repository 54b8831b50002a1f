package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
)

const (
	// pingTimeout is the time in which a broker that runs answers. It is shorter than queryTimeout.
	pingTimeout = 2 * time.Second
	// maxPings is the maximum number of brokers of a cluster that are asked at the same time. A policy may name a cluster
	// with any number of brokers at any hosts.
	maxPings = 16
)

// startPings asks each broker for its API versions. The returned function waits for the answers, and reports for each
// broker whether it did not answer.
func (c *connection) startPings(ctx context.Context, brokers []kmsg.MetadataResponseBroker) (silent func() []bool) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	result, client := make([]bool, len(brokers)), c.client
	var group errgroup.Group
	group.SetLimit(maxPings)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		for i, b := range brokers {
			group.Go(func() error {
				// A connection may have ended with an earlier process of the broker: a second request opens a new one.
				for range 2 {
					_, err := apiVersions(ctx, client.Broker(int(b.NodeID)))
					if result[i] = err != nil; err == nil || ctx.Err() != nil {
						break
					}
				}
				return nil
			})
		}
		_ = group.Wait()
	}()
	return func() []bool {
		<-done
		return result
	}
}
