// Package transition changes one property of an object at a time, forward and back, and holds the service to the state that a
// fresh object with the same spec would have: what it did for the earlier spec must be undone. A change that makes no sense must be
// refused by the API or reported by the service, and be cured by taking it back.
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
	// Env is where a change is tried.
	Env = env.Env
	// Subject is the service under test.
	Subject = env.Subject
)

// Plan says what is changed, and what is looked at.
type Plan struct {
	Subject
	// Base is the YAML of the object that is changed; it names no namespace. Other objects may come before it in the stream.
	Base string
	// Done, if set, tells why the service is not done yet with a valid object.
	Done func(*unstructured.Unstructured) error
	// Reported tells why an invalid object does not count as reported: usually, that a condition is missing.
	Reported func(*unstructured.Unstructured) error
	// Parallel is how many changes are tried at a time; 4 unless set.
	Parallel int
}

// Change is one change of the base object.
type Change struct {
	Name string
	// Patch is a JSON merge patch; it may be written as YAML.
	Patch string
	// Valid changes are carried out. Others are refused, or reported.
	Valid bool
	// Irreversible changes are not taken back: the API does not allow it.
	Irreversible bool
}

// Run tries each change in a namespace of its own, and fails the test for those that do not end as they should.
func Run(t testing.TB, cp *testkit.ControlPlane, plan Plan, changes []Change) {
	t.Helper()
	failures, err := Try(t.Context(), cp, plan, changes)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range failures {
		t.Error(f)
	}
	t.Logf("transitions: %d changes (%s), %d ended wrongly", len(changes), names(changes), len(failures))
}

// Try is Run outside of a test. An error means that even the base object does not work.
func Try(ctx context.Context, cp *testkit.ControlPlane, plan Plan, changes []Change) (failures []error, err error) {
	if plan.Parallel == 0 {
		plan.Parallel = 4
	}
	base, err := plan.fresh(ctx, cp, "base", nil)
	if err != nil {
		return nil, fmt.Errorf("the base object: %w", err)
	}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(plan.Parallel)
	for _, change := range changes {
		group.Go(func() error {
			if err := plan.try(ctx, cp, change, base); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failures = append(failures, fmt.Errorf("change %q: %w", change.Name, err))
			}
			return nil
		})
	}
	return failures, group.Wait()
}

// fresh is what comes of an object made with the change.
func (p Plan) fresh(ctx context.Context, cp *testkit.ControlPlane, like string, patch map[string]any) (result snapshot.Snapshot, err error) {
	s, err := p.stage(ctx, cp, like, patch)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return s.settled(ctx, nil)
}

func (p Plan) try(ctx context.Context, cp *testkit.ControlPlane, change Change, base snapshot.Snapshot) (err error) {
	patch, err := merge(change.Patch)
	if err != nil {
		return err
	}
	var want snapshot.Snapshot
	if change.Valid {
		if want, err = p.fresh(ctx, cp, change.Name, patch); err != nil {
			return fmt.Errorf("made with it: %w", err)
		}
	}
	s, err := p.stage(ctx, cp, change.Name, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := s.settled(ctx, base); err != nil {
		return fmt.Errorf("before it: %w", err)
	}
	if err := s.patch(ctx, patch); err != nil {
		if change.Valid || !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) && !apierrors.IsForbidden(err) {
			return err
		}
		// Refused: then nothing may have come of it.
		_, err = s.settled(ctx, base)
		return err
	}
	if change.Valid {
		if _, err := s.settled(ctx, want); err != nil {
			return fmt.Errorf("the state is not that of an object made with it: %w", err)
		}
	} else if err := s.reported(ctx); err != nil {
		return fmt.Errorf("is neither refused nor reported: %w", err)
	}
	if change.Irreversible {
		return nil
	}
	if err := s.patch(ctx, inverse(s.object.Object, patch)); err != nil {
		return fmt.Errorf("take it back: %w", err)
	}
	if _, err := s.settled(ctx, base); err != nil {
		return fmt.Errorf("the state is not what it was, after taking it back: %w", err)
	}
	return nil
}

// stage is a world with the object in it.
type stage struct {
	*env.Runner
	plan   Plan
	object *unstructured.Unstructured
	client dynamic.ResourceInterface
}

func (p Plan) stage(ctx context.Context, cp *testkit.ControlPlane, like string, patch map[string]any) (*stage, error) {
	objects, err := testkit.DecodeYAML(p.Base)
	if err != nil || len(objects) == 0 {
		return nil, errors.Join(errors.New("the base has no object"), err)
	}
	object := objects[len(objects)-1]
	object.Object = merged(object.Object, patch).(map[string]any)
	w, err := env.New(ctx, cp, "transition-"+like, p.Subject)
	if err != nil {
		return nil, err
	}
	s := &stage{Runner: w, plan: p, object: object}
	w.Start(ctx, nil)
	for _, o := range objects {
		if err == nil {
			s.client, err = s.create(ctx, o)
		}
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return s, nil
}

// create does not apply: a field that nobody owns any more must be removable by a patch.
func (s *stage) create(ctx context.Context, o *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	client, err := s.ResourceFor(o, s.Namespace)
	if err != nil {
		return nil, err
	}
	if _, err := client.Create(ctx, o, metav1.CreateOptions{FieldManager: testkit.FieldManager}); err != nil {
		return nil, fmt.Errorf("create %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return client, nil
}

func (s *stage) patch(ctx context.Context, patch map[string]any) error {
	data, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	_, err = s.client.Patch(ctx, s.object.GetName(), types.MergePatchType, data, metav1.PatchOptions{FieldManager: testkit.FieldManager})
	return err
}

// settled waits for the wanted state, or any that lasts where none is given.
func (s *stage) settled(ctx context.Context, want snapshot.Snapshot) (got snapshot.Snapshot, err error) {
	err = s.WaitStable(ctx, func(ctx context.Context) error {
		if err := s.look(ctx, s.plan.Done); err != nil {
			return err
		}
		now, err := s.Snapshot(ctx)
		if err != nil {
			return err
		}
		compared := want
		if compared == nil {
			compared = got
		}
		got = now
		if difference := compared.Diff(now); difference != "" {
			return fmt.Errorf("the objects differ:\n%s", difference)
		}
		return nil
	})
	return got, err
}

func (s *stage) reported(ctx context.Context) error {
	if s.plan.Reported == nil {
		return errors.New("the plan does not say how the service reports")
	}
	return s.WaitStable(ctx, func(ctx context.Context) error { return s.look(ctx, s.plan.Reported) })
}

func (s *stage) look(ctx context.Context, at func(*unstructured.Unstructured) error) error {
	if at == nil {
		return nil
	}
	object, err := s.client.Get(ctx, s.object.GetName(), metav1.GetOptions{})
	if err != nil {
		return err
	}
	return at(object)
}

func names(changes []Change) string {
	all := make([]string, len(changes))
	for i, c := range changes {
		all[i] = c.Name
	}
	return strings.Join(all, ", ")
}
