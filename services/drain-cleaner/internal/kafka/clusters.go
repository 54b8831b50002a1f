package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"k8s.io/apimachinery/pkg/types"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

const (
	// idle connections are closed, and Secrets read anew, after so long without a look.
	idle = 5 * time.Minute
	// freshSecrets is how long a connection lives before the Secrets of the policy are read again.
	freshSecrets = 10 * time.Minute
	// lookTimeout bounds a look that no review bounds.
	lookTimeout = 3 * time.Second
)

// Options of Clusters.
type Options struct {
	Secrets Secrets
	// Resolver of short names; that of the process where nil.
	Resolver Resolver
	// MaxAge is how old a look may be for a denial; 2 s where 0.
	MaxAge time.Duration
	Now    func() time.Time
	Log    *slog.Logger
	// Looked is told how long each look took, and whether it failed; optional.
	Looked func(policy string, took time.Duration, err error)
}

// Clusters looks at the clusters of policies. One look serves all who ask in the meantime.
type Clusters struct {
	options Options
	mu      sync.Mutex
	known   map[types.UID]*connection
}

// New makes Clusters; Close closes its connections.
func New(o Options) *Clusters {
	if o.MaxAge == 0 {
		o.MaxAge = 2 * time.Second
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Looked == nil {
		o.Looked = func(string, time.Duration, error) {}
	}
	return &Clusters{options: o, known: map[types.UID]*connection{}}
}

// connection is to the cluster of one policy. Its gate is held by who looks; the rest is theirs.
type connection struct {
	gate       chan struct{}
	client     *kgo.Client
	generation int64
	opened     time.Time
	used       time.Time

	kraft   *bool
	timeout time.Duration

	last    *decide.Cluster
	lastErr error
	lastAt  time.Time
}

// Look gives a look at the policy's cluster that began after since, and not longer ago than MaxAge. Nil comes with why.
func (c *Clusters) Look(ctx context.Context, p *drainv1alpha1.KafkaDrainPolicy, since time.Time) (*decide.Cluster, decide.Fault) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	connection := c.connection(p.UID)
	select {
	case connection.gate <- struct{}{}:
		defer func() { <-connection.gate }()
	case <-ctx.Done():
		return nil, decide.Fault{Reason: decide.KafkaUnreachable, Message: "the brokers take too long to answer"}
	}
	now := c.options.Now()
	if connection.generation == p.Generation && connection.lastAt.After(since) && now.Sub(connection.lastAt) < c.options.MaxAge {
		return connection.last, fault(connection.lastErr, p.Spec)
	}
	began := now
	cluster, err := c.look(ctx, connection, p, now)
	c.options.Looked(p.Namespace+"/"+p.Name, c.options.Now().Sub(began), err)
	connection.last, connection.lastErr, connection.lastAt = cluster, err, began
	return cluster, fault(err, p.Spec)
}

func (c *Clusters) connection(uid types.UID) *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known[uid] == nil {
		c.known[uid] = &connection{gate: make(chan struct{}, 1)}
	}
	return c.known[uid]
}

func (c *Clusters) look(ctx context.Context, connection *connection, p *drainv1alpha1.KafkaDrainPolicy, now time.Time) (*decide.Cluster, error) {
	if connection.client != nil && (connection.generation != p.Generation || now.Sub(connection.opened) > freshSecrets) {
		connection.close()
	}
	connection.generation, connection.used = p.Generation, now
	if connection.client == nil {
		opts, err := options(ctx, c.options.Secrets, c.options.Resolver, p)
		if err != nil {
			return nil, err
		}
		if connection.client, err = kgo.NewClient(opts...); err != nil {
			return nil, fmt.Errorf("make a client of Kafka: %w", err)
		}
		connection.opened = now
	}
	cluster, err := connection.look(ctx, c.options.Now)
	if err != nil {
		// The next look begins with the Secrets: a wrong password may have been put right.
		connection.close()
	}
	return cluster, err
}

func (c *connection) close() {
	if c.client != nil {
		c.client.Close()
	}
	c.client, c.kraft, c.timeout = nil, nil, 0
}

// Run closes connections that nobody uses, and all of them when ctx ends.
func (c *Clusters) Run(ctx context.Context) error {
	ticker := time.NewTicker(idle / 5)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			c.sweep(0)
			return nil
		case <-ticker.C:
			c.sweep(idle)
		}
	}
}

// sweep leaves out connections that are in use.
func (c *Clusters) sweep(unused time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, connection := range c.known {
		select {
		case connection.gate <- struct{}{}:
			if c.options.Now().Sub(connection.used) >= unused {
				connection.close()
			}
			<-connection.gate
		default:
		}
	}
}
