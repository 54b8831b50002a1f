// Package transition changes one property of an object at a time, forward and back. After each change the state must
// equal that of a new object with the same spec, so that the service must undo what it did for the previous spec. The
// API must reject an invalid change, or the service must report it and recover when it is reverted.
//
// The idea is that of Acto (Gu et al., SOSP '23).
package transition

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"golang.org/x/sync/errgroup"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/env"
	"github.com/weir-dev/weir/pkg/testkit/snapshot"
)

type (
	// Env is the environment of a change.
	Env = env.Env
	// Subject is the service under test.
	Subject = env.Subject
)

// Plan describes the object to change and how to check it.
type Plan struct {
	Subject
	// Base is the YAML of the object to change, without a namespace. The stream may contain other objects before it.
	Base string
	// Done returns an error while the service has not processed a valid object; optional.
	Done func(*unstructured.Unstructured) error
	// Reported returns an error while the service has not reported an invalid object, usually in a condition.
	Reported func(*unstructured.Unstructured) error
	// Parallel is the number of concurrent changes; the default is 4.
	Parallel int
}

// Change is one change of the base object.
type Change struct {
	Name string
	// Patch is a JSON merge patch, as JSON or YAML.
	Patch string
	// Valid changes are processed. Others are rejected or reported.
	Valid bool
	// Irreversible changes are not reverted, because the API does not allow it.
	Irreversible bool
}

// Run makes each change in a new namespace and fails the test for each change with a wrong result.
func Run(t testing.TB, cp *testkit.ControlPlane, plan Plan, changes []Change) {
	t.Helper()
	failures, err := Try(t.Context(), cp, plan, changes)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range failures {
		t.Error(f)
	}
	t.Logf("transitions: %d changes (%s), %d failed", len(changes), names(changes), len(failures))
}

// Try is Run without a test. It returns an error if the base object fails.
func Try(ctx context.Context, cp *testkit.ControlPlane, plan Plan, changes []Change) (failures []error, err error) {
	if plan.Parallel == 0 {
		plan.Parallel = 4
	}
	base, err := plan.create(ctx, cp, "base", nil)
	if err != nil {
		return nil, fmt.Errorf("base object: %w", err)
	}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(plan.Parallel)
	for _, change := range changes {
		group.Go(func() error {
			if err := plan.change(ctx, cp, change, base); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failures = append(failures, fmt.Errorf("change %q: %w", change.Name, err))
			}
			return nil
		})
	}
	return failures, group.Wait()
}

// create returns the stable state of a new object with the patch.
func (p Plan) create(
	ctx context.Context,
	cp *testkit.ControlPlane,
	like string,
	patch map[string]any,
) (result snapshot.Snapshot, err error) {
	e, err := p.start(ctx, cp, like, patch)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	return e.stable(ctx, nil)
}

func (p Plan) change(ctx context.Context, cp *testkit.ControlPlane, change Change, base snapshot.Snapshot) (err error) {
	patch, err := merge(change.Patch)
	if err != nil {
		return err
	}
	var want snapshot.Snapshot
	if change.Valid {
		if want, err = p.create(ctx, cp, change.Name, patch); err != nil {
			return fmt.Errorf("new object with the change: %w", err)
		}
	}
	e, err := p.start(ctx, cp, change.Name, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if _, err := e.stable(ctx, base); err != nil {
		return fmt.Errorf("before the change: %w", err)
	}
	if err := e.patch(ctx, patch); err != nil {
		if change.Valid || !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) && !apierrors.IsForbidden(err) {
			return err
		}
		// A rejected change must have no effect.
		_, err = e.stable(ctx, base)
		return err
	}
	if change.Valid {
		if _, err := e.stable(ctx, want); err != nil {
			return fmt.Errorf("the state differs from that of a new object: %w", err)
		}
	} else if err := e.reported(ctx); err != nil {
		return fmt.Errorf("neither rejected nor reported: %w", err)
	}
	if change.Irreversible {
		return nil
	}
	if err := e.patch(ctx, inverse(e.object.Object, patch)); err != nil {
		return fmt.Errorf("revert: %w", err)
	}
	if _, err := e.stable(ctx, base); err != nil {
		return fmt.Errorf("the state differs from the original after the revert: %w", err)
	}
	return nil
}

// testEnv is a running service with the object.
type testEnv struct {
	*env.Runner
	plan   Plan
	object *unstructured.Unstructured
	client dynamic.ResourceInterface
}

func (p Plan) start(
	ctx context.Context, cp *testkit.ControlPlane, like string, patch map[string]any,
) (*testEnv, error) {
	objects, err := testkit.DecodeYAML(p.Base)
	if err != nil || len(objects) == 0 {
		return nil, errors.Join(errors.New("base: contains no object"), err)
	}
	object := objects[len(objects)-1]
	object.Object = merged(object.Object, patch).(map[string]any)
	r, err := env.New(ctx, cp, "transition-"+like, p.Subject)
	if err != nil {
		return nil, err
	}
	e := &testEnv{Runner: r, plan: p, object: object}
	r.StartAll(ctx)
	for _, o := range objects {
		if err == nil {
			e.client, err = e.createObject(ctx, o)
		}
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return e, nil
}

// createObject does not use server-side apply: a patch must be able to remove every field.
func (e *testEnv) createObject(ctx context.Context, o *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	client, err := e.ResourceFor(o, e.Namespace)
	if err != nil {
		return nil, err
	}
	if _, err := client.Create(ctx, o, metav1.CreateOptions{FieldManager: testkit.FieldManager}); err != nil {
		return nil, fmt.Errorf("create %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return client, nil
}

func (e *testEnv) patch(ctx context.Context, patch map[string]any) error {
	data, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	_, err = e.client.Patch(
		ctx,
		e.object.GetName(),
		types.MergePatchType,
		data,
		metav1.PatchOptions{FieldManager: testkit.FieldManager},
	)
	return err
}

// stable waits for a stable state that equals want, or for any stable state if want is nil.
func (e *testEnv) stable(ctx context.Context, want snapshot.Snapshot) (got snapshot.Snapshot, err error) {
	err = e.WaitStable(ctx, func(ctx context.Context) error {
		if err := e.check(ctx, e.plan.Done); err != nil {
			return err
		}
		current, err := e.Snapshot(ctx)
		if err != nil {
			return err
		}
		expected := want
		if expected == nil {
			expected = got
		}
		got = current
		if difference := expected.Diff(current); difference != "" {
			return fmt.Errorf("the objects differ:\n%s", difference)
		}
		return nil
	})
	return got, err
}

func (e *testEnv) reported(ctx context.Context) error {
	if e.plan.Reported == nil {
		return errors.New("the plan has no function Reported")
	}
	return e.WaitStable(ctx, func(ctx context.Context) error { return e.check(ctx, e.plan.Reported) })
}

func (e *testEnv) check(ctx context.Context, condition func(*unstructured.Unstructured) error) error {
	if condition == nil {
		return nil
	}
	object, err := e.client.Get(ctx, e.object.GetName(), metav1.GetOptions{})
	if err != nil {
		return err
	}
	return condition(object)
}

func names(changes []Change) string {
	all := make([]string, len(changes))
	for i, c := range changes {
		all[i] = c.Name
	}
	return strings.Join(all, ", ")
}
