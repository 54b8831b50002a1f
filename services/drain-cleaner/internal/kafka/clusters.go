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
	// idleTimeout is the time without a query after which a connection is closed.
	idleTimeout = 5 * time.Minute
	// clientLifetime is the time after which a client is replaced, so that changed Secrets take effect.
	clientLifetime = 10 * time.Minute
	// queryTimeout limits one query.
	queryTimeout = 3 * time.Second
	// waitTimeout limits the time before a query, while other queries run. Together with queryTimeout it is shorter than
	// the deadline of a review.
	waitTimeout = 3 * time.Second
	// maxQueries is the maximum number of concurrent queries, and maxPerNamespace that of the policies of one namespace.
	maxQueries      = 4
	maxPerNamespace = 2
)

// Options configures Clusters.
type Options struct {
	Secrets Secrets
	// Resolver resolves short host names. Default: the resolver of the process.
	Resolver Resolver
	// MaxAge is the maximum age of a cached result. Default: 2s.
	MaxAge time.Duration
	// MaxResponse is the maximum size of the Metadata response in bytes. Default: DefaultMaxResponse.
	MaxResponse int32
	Now         func() time.Time
	Log         *slog.Logger
	// Observe is called with the duration and the result of each query. Optional.
	Observe func(policy string, took time.Duration, err error)
}

// Clusters queries the Kafka clusters of policies. Concurrent calls for one policy share one query.
type Clusters struct {
	options Options
	// running limits the queries of all policies, and with them the memory for responses.
	running chan struct{}
	mu      sync.Mutex
	known   map[types.UID]*connection
	// namespaces limit the queries of each namespace, so that no namespace uses up running.
	namespaces map[string]chan struct{}
}

// New returns Clusters. Run closes its connections.
func New(o Options) *Clusters {
	if o.MaxAge == 0 {
		o.MaxAge = 2 * time.Second
	}
	if o.MaxResponse == 0 {
		o.MaxResponse = DefaultMaxResponse
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Observe == nil {
		o.Observe = func(string, time.Duration, error) {}
	}
	return &Clusters{
		options: o, running: make(chan struct{}, maxQueries),
		known: map[types.UID]*connection{}, namespaces: map[string]chan struct{}{},
	}
}

// connection is the connection to the cluster of one policy. Only the goroutine that has sent to lock may use the other
// fields.
type connection struct {
	lock       chan struct{}
	client     *kgo.Client
	generation int64
	opened     time.Time
	used       time.Time

	// requests are the API keys that the brokers support; nil if not read yet.
	requests     map[int16]bool
	fetchTimeout time.Duration

	last    *decide.Cluster
	lastErr error
	lastAt  time.Time
}

// Query returns the state of the policy's cluster. The query started after since and is not older than MaxAge. If the
// state is nil, the fault says why.
func (c *Clusters) Query(
	ctx context.Context, p *drainv1alpha1.KafkaDrainPolicy, since time.Time,
) (*decide.Cluster, decide.Fault) {
	waitCtx, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	connection := c.connection(p.UID)
	select {
	case connection.lock <- struct{}{}:
		defer func() { <-connection.lock }()
	case <-waitCtx.Done():
		return nil, decide.Fault{
			Reason:  drainv1alpha1.ReasonKafkaUnreachable,
			Message: "timed out waiting for another query of the brokers",
		}
	}
	now := c.options.Now()
	isCurrent := connection.generation == p.Generation && connection.lastAt.After(since)
	if isCurrent && now.Sub(connection.lastAt) < c.options.MaxAge {
		return connection.last, fault(connection.lastErr, p.Spec)
	}
	release, ok := c.acquire(waitCtx, p.Namespace)
	if !ok {
		return nil, decide.Fault{
			Reason: drainv1alpha1.ReasonKafkaUnreachable, Message: "timed out waiting for queries of other policies",
		}
	}
	defer release()
	ctx, cancelQuery := context.WithTimeout(ctx, queryTimeout)
	defer cancelQuery()
	now = c.options.Now()
	cluster, err := c.query(ctx, connection, p, now)
	c.options.Observe(p.Namespace+"/"+p.Name, c.options.Now().Sub(now), err)
	if err != nil && (connection.lastErr == nil || connection.lastErr.Error() != err.Error()) {
		c.options.Log.Warn("cannot query Kafka", "policy", p.Namespace+"/"+p.Name, "error", err)
	}
	connection.last, connection.lastErr, connection.lastAt = cluster, err, now
	return cluster, fault(err, p.Spec)
}

// acquire waits until a policy of the namespace may query its cluster.
func (c *Clusters) acquire(ctx context.Context, namespace string) (release func(), ok bool) {
	c.mu.Lock()
	own := c.namespaces[namespace]
	if own == nil {
		own = make(chan struct{}, maxPerNamespace)
		c.namespaces[namespace] = own
	}
	c.mu.Unlock()
	select {
	case own <- struct{}{}:
	case <-ctx.Done():
		return nil, false
	}
	select {
	case c.running <- struct{}{}:
		return func() { <-c.running; <-own }, true
	case <-ctx.Done():
		<-own
		return nil, false
	}
}

func (c *Clusters) connection(uid types.UID) *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known[uid] == nil {
		c.known[uid] = &connection{lock: make(chan struct{}, 1)}
	}
	return c.known[uid]
}

func (c *Clusters) query(
	ctx context.Context, connection *connection, p *drainv1alpha1.KafkaDrainPolicy, now time.Time,
) (*decide.Cluster, error) {
	isExpired := connection.generation != p.Generation || now.Sub(connection.opened) > clientLifetime
	if connection.client != nil && isExpired {
		connection.close()
	}
	connection.generation, connection.used = p.Generation, now
	if connection.client == nil {
		opts, err := clientOptions(ctx, c.options, p)
		if err != nil {
			return nil, err
		}
		if connection.client, err = kgo.NewClient(opts...); err != nil {
			return nil, fmt.Errorf("create the Kafka client: %w", err)
		}
		connection.opened = now
	}
	cluster, err := connection.query(ctx, c.options.Now)
	if err != nil {
		// The next query reads the Secrets again: the error may be a wrong password that is fixed meanwhile.
		connection.close()
	}
	return cluster, err
}

func (c *connection) close() {
	if c.client != nil {
		c.client.Close()
	}
	c.client, c.requests, c.fetchTimeout = nil, nil, 0
}

// Run closes idle connections, and all connections when ctx ends.
func (c *Clusters) Run(ctx context.Context) error {
	ticker := time.NewTicker(idleTimeout / 5)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			c.closeIdle(0)
			return nil
		case <-ticker.C:
			c.closeIdle(idleTimeout)
		}
	}
}

// closeIdle closes connections without a query for the given time. It skips connections with a running query.
func (c *Clusters) closeIdle(unused time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, connection := range c.known {
		select {
		case connection.lock <- struct{}{}:
			if c.options.Now().Sub(connection.used) >= unused {
				connection.close()
				connection.last, connection.lastErr, connection.lastAt = nil, nil, time.Time{}
			}
			<-connection.lock
		default:
		}
	}
}
