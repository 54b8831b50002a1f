//go:build linux

package reconcile

import (
	"context"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// probes mounts each storage and describes it, in a goroutine of its own: a storage that does not answer delays no
// other.
type probes struct {
	options Options
	log     *slog.Logger
	changed func(controller.Key)
	// loaded is called when the metadata of all volumes of a storage has been read.
	loaded func(controller.Key, decide.Storage)

	up, capacity, provisioned, volumes, enforced *prometheus.GaugeVec

	mu      sync.Mutex
	ctx     context.Context //nolint:containedctx // of run; probes start before and during run
	targets map[controller.Key]*target
}

type target struct {
	storage decide.Storage
	stop    context.CancelFunc
	last    *decide.Probe
	// reloaded is the time of the last read of all metadata, loads the number of reads that volumes were enqueued for.
	reloaded time.Time
	loads    int
}

func newProbes(
	o Options, log *slog.Logger, r prometheus.Registerer, changed func(controller.Key),
	loaded func(controller.Key, decide.Storage),
) *probes {
	factory, labels := promauto.With(r), []string{"namespace", "storage"}
	return &probes{
		options: o, log: log, changed: changed, loaded: loaded, targets: map[controller.Key]*target{},
		up: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_gluster_storage_up", Help: "1 if the storage is mounted and answers, else 0.",
		}, labels),
		capacity: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_gluster_storage_capacity_bytes", Help: "Size of the GlusterFS volume.",
		}, labels),
		provisioned: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_gluster_storage_provisioned_bytes", Help: "Sum of the sizes of all volumes of the storage.",
		}, labels),
		volumes: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_gluster_storage_volumes", Help: "Number of GlusterVolumes of the storage.",
		}, labels),
		enforced: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weir_gluster_storage_enforced_volumes",
			Help: "Number of GlusterVolumes of the storage whose size is enforced.",
		}, labels),
	}
}

// run keeps the probes running until ctx ends, and then unmounts the volumes.
func (p *probes) run(ctx context.Context) error {
	p.mu.Lock()
	p.ctx = ctx
	for key, t := range p.targets {
		p.start(key, t)
	}
	p.mu.Unlock()
	<-ctx.Done()
	p.options.Pool.UnmountAll()
	return nil
}

// add probes a storage. A change of the storage starts a new probe.
func (p *probes) add(key controller.Key, s decide.Storage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.targets[key]; t != nil {
		if reflect.DeepEqual(t.storage, s) {
			return
		}
		p.drop(key, t)
	}
	t := &target{storage: s}
	p.targets[key] = t
	if p.ctx != nil {
		p.start(key, t)
	}
}

// remove ends the probe of a storage.
func (p *probes) remove(key controller.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.targets[key]; t != nil {
		p.drop(key, t)
	}
}

func (p *probes) drop(key controller.Key, t *target) {
	if t.stop != nil {
		t.stop()
	}
	delete(p.targets, key)
	for _, gauge := range []*prometheus.GaugeVec{p.up, p.capacity, p.provisioned, p.volumes, p.enforced} {
		gauge.DeleteLabelValues(key.Namespace, key.Name)
	}
}

// report sets the metrics of the limits of a storage.
func (p *probes) report(key controller.Key, l decide.Limits) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.targets[key] != nil {
		p.volumes.WithLabelValues(key.Namespace, key.Name).Set(float64(l.Volumes))
		p.enforced.WithLabelValues(key.Namespace, key.Name).Set(float64(l.Enforced))
	}
}

// last returns the last probe of a storage, or nil.
func (p *probes) last(key controller.Key) *decide.Probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.targets[key]; t != nil {
		return t.last
	}
	return nil
}

func (p *probes) start(key controller.Key, t *target) {
	ctx, cancel := context.WithCancel(p.ctx)
	t.stop = cancel
	go func() {
		ticker := time.NewTicker(p.options.ProbeInterval)
		defer ticker.Stop()
		for {
			p.store(ctx, key, t, p.probe(ctx, t))
			p.enqueue(key, t)
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	}()
}

func (p *probes) probe(ctx context.Context, t *target) *decide.Probe {
	s := t.storage
	reload := time.Since(t.reloaded) > p.options.ResyncInterval
	if reload {
		t.reloaded = time.Now()
	}
	found := p.options.Pool.Of(s.Volume).Probe(ctx, p.options.Timeout, s.Native, reload)
	text := ""
	if found.DamagedError != nil {
		text = found.DamagedError.Error()
	}
	return &decide.Probe{
		Version: found.Version, Graph: found.Graph, CapacityBytes: found.CapacityBytes,
		ProvisionedBytes: found.ProvisionedBytes, Damaged: found.Damaged, DamagedError: text,
		Offline: found.Offline, Err: found.Err,
	}
}

// enqueue enqueues all volumes of a storage after their metadata was read.
func (p *probes) enqueue(key controller.Key, t *target) {
	ledger := p.options.Pool.Of(t.storage.Volume).Ledger()
	if ledger == nil || ledger.Loads() == t.loads {
		return
	}
	t.loads = ledger.Loads()
	p.loaded(key, t.storage)
}

// store keeps a probe and enqueues the storage if its status changes.
func (p *probes) store(ctx context.Context, key controller.Key, t *target, probe *decide.Probe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() != nil || p.targets[key] != t {
		return
	}
	up := 1.0
	if probe.Err != nil {
		up = 0
		p.log.Warn("the storage cannot be used", "storage", key.String(), "error", probe.Err)
	}
	p.up.WithLabelValues(key.Namespace, key.Name).Set(up)
	p.capacity.WithLabelValues(key.Namespace, key.Name).Set(float64(probe.CapacityBytes))
	p.provisioned.WithLabelValues(key.Namespace, key.Name).Set(float64(probe.ProvisionedBytes))
	if t.last == nil || !same(*t.last, *probe) {
		t.last = probe
		p.changed(key)
	}
}

// same compares the text of errors, not their identity.
func same(a, b decide.Probe) bool {
	if (a.Err == nil) != (b.Err == nil) || a.Err != nil && a.Err.Error() != b.Err.Error() {
		return false
	}
	a.Err, b.Err = nil, nil
	return reflect.DeepEqual(a, b)
}
