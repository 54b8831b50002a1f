package apply

import (
	"context"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Batch is a sequence of writes that stops at the first error. A plan is written in the order of the calls:
//
//	b := apply.NewBatch(ctx, "connect-scheduler")
//	apply.All(b, "Secret", client.CoreV1().Secrets(namespace), plan.Secrets)
//	apply.All(b, "StatefulSet", client.AppsV1().StatefulSets(namespace), plan.StatefulSets)
//	apply.DeleteAll(b, "Pod", client.CoreV1().Pods(namespace), plan.DeletePods)
//	return b.Err()
type Batch struct {
	ctx         context.Context
	manager     string
	comparisons *ComparisonCache
	err         error
}

// NewBatch returns an empty batch of writes by the field manager.
func NewBatch(ctx context.Context, manager string) *Batch { return &Batch{ctx: ctx, manager: manager} }

// RecordIn makes the batch record what it applies in a cache of comparisons, and returns the batch. The watch event of
// an own write then needs no comparison.
func (b *Batch) RecordIn(comparisons *ComparisonCache) *Batch {
	b.comparisons = comparisons
	return b
}

// Err returns the first error, a *WriteError, or nil.
func (b *Batch) Err() error { return b.err }

// Concurrently runs groups of writes at the same time, unless an earlier write of the batch failed, and waits for all
// of them. The writes of one group keep their order. A failed write stops its own group only. Err then returns the
// error of the first group that failed, in the order of the arguments.
//
//	b.Concurrently(
//		func(b *apply.Batch) { apply.All(b, "Secret", client.CoreV1().Secrets(namespace), plan.Secrets) },
//		func(b *apply.Batch) { apply.All(b, "ConfigMap", client.CoreV1().ConfigMaps(namespace), plan.ConfigMaps) },
//	)
func (b *Batch) Concurrently(groups ...func(*Batch)) {
	if b.err != nil {
		return
	}
	var running sync.WaitGroup
	batches := make([]*Batch, len(groups))
	for i, group := range groups {
		batches[i] = NewBatch(b.ctx, b.manager).RecordIn(b.comparisons)
		running.Go(func() { group(batches[i]) })
	}
	running.Wait()
	for _, group := range batches {
		if group.err != nil {
			b.err = group.err
			return
		}
	}
}

// Named is implemented by all generated apply configurations.
type Named interface{ GetName() *string }

// All applies objects in order unless an earlier write of the batch failed. kind names them in the error.
func All[C Named, O metav1.Object](b *Batch, kind string, client Patcher[O], wants []C) {
	for _, want := range wants {
		if b.err != nil {
			return
		}
		object, err := Object(b.ctx, client, b.manager, want)
		if err != nil {
			name := ""
			if want.GetName() != nil {
				name = *want.GetName()
			}
			b.err = &WriteError{Verb: "apply", Kind: kind, Name: name, Err: err}
			return
		}
		b.comparisons.Applied(object, want)
	}
}

// DeleteAll deletes objects in order unless an earlier write of the batch failed. Objects that are already gone are no
// error.
func DeleteAll[O metav1.Object](b *Batch, kind string, client Deleter, objects []O) {
	for _, object := range objects {
		if b.err != nil {
			return
		}
		if err := IgnoreGone(Delete(b.ctx, client, object)); err != nil {
			b.err = &WriteError{Verb: "delete", Kind: kind, Name: object.GetName(), Err: err}
		}
	}
}
