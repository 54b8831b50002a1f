//go:build linux

package directory_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/pkg/testkit/disk"
)

// input reads the bytes of a fuzz test. After the end it returns 0.
type input []byte

func (in *input) next(n int) int {
	if len(*in) == 0 {
		return 0
	}
	b := int((*in)[0])
	*in = (*in)[1:]
	return b % n
}

// path returns a path of a directory. Half of them are valid.
func (in *input) path(w *world) string {
	valid := []string{"ns/claim", "claim", "mounted/claim", "ns/claim/inner", "mounted", "ns", "claim/inner", "ns/new"}
	if n := in.next(2 * len(valid)); n < len(valid) {
		return valid[n]
	}
	elements := []string{
		"ns", "claim", "..", ".", "", "mounted", ".trash", ".new-0", "..volume-id.tmp", ".volume-id", "1-w0", "outside",
		"x\x00y", w.root, "...", strings.Repeat("x", 256),
	}
	var path []string
	for range 1 + in.next(5) {
		path = append(path, elements[in.next(len(elements))])
	}
	return strings.Join(path, "/")
}

// basePath returns a base path. Most are the allowed one. A base path below it would have the file system that it is
// seen on first, which can be that of the attacker.
func (in *input) basePath(w *world) string {
	others := []string{
		w.base() + "/", w.base() + "/../../outside", filepath.Join(w.root, "link", "base"), "/",
		filepath.Join(w.root, "outside"), "parent/base", w.base() + "/absent", "",
	}
	if n := in.next(4 * len(others)); n < len(others) {
		return others[n]
	}
	return w.base()
}

func (in *input) spec(w *world) v1.LocalVolumeNodeSpec {
	spec := v1.LocalVolumeNodeSpec{BasePaths: []string{w.base()}}
	for range 1 + in.next(4) {
		d := v1.DirectorySpec{
			BasePath: in.basePath(w), Path: in.path(w), SetName: "kafka", SetUID: "set-uid", UID: 1001, GID: 1002, Mode: "2770",
		}
		flags := in.next(4)
		d.ID, d.Create, d.Adopt = "kafka/"+d.Path, flags < 3, flags%2 == 0
		spec.Directories = append(spec.Directories, d)
	}
	for i := range in.next(3) {
		base, path := in.basePath(w), in.path(w)
		spec.Wipes = append(spec.Wipes, v1.WipeSpec{
			ID: types.UID(fmt.Sprintf("w%d", i)), BasePath: base, Path: path, Marker: "kafka/" + path,
		})
	}
	return spec
}

func (in *input) steps() []step {
	var steps []step
	for range in.next(8) {
		steps = append(steps, step{in.next(kindsOfAttacks), in.next(len(targets)), in.next(len(substitutes))})
	}
	return steps
}

// attacks returns an input in which valid directories are created, adopted and deleted, while attacks of one kind
// replace six targets.
func attacks(kind, target int) []byte {
	const base, create, adopt = 31, 1, 0
	data := []byte{2, base, 0, create, base, 1, adopt, base, 4, adopt, 1, base, 0}           // the first spec
	data = append(data, 3, base, 0, adopt, base, 2, create, base, 3, adopt, base, 7, create) // the second
	data = append(data, 2, base, 1, base, 2)
	for _, first := range []int{target, target + 3} {
		data = append(data, 3)
		for i := range 3 {
			data = append(data, byte(kind), byte(first+i), byte(first+i))
		}
	}
	return data
}

// random adds the number of random inputs in WEIR_ESCAPE_INPUTS. Coverage does not lead to better ones, because the
// agent is another process.
func random(f *testing.F) {
	text := os.Getenv("WEIR_ESCAPE_INPUTS")
	if text == "" {
		return
	}
	n, err := strconv.Atoi(text)
	require.NoError(f, err)
	generator := rand.NewChaCha8([32]byte{1})
	for range n {
		data := make([]byte, 80)
		_, _ = generator.Read(data)
		f.Add(data)
	}
}

// FuzzAgentStaysInItsBasePath gives an agent with the shipped capabilities any directories to create, adopt and delete,
// while others replace elements of their paths. Nothing outside of the base path changes or is read.
func FuzzAgentStaysInItsBasePath(f *testing.F) {
	disk.Need(f)
	for kind := range kindsOfAttacks {
		for _, target := range []int{0, 3, 5, 7} {
			f.Add(attacks(kind, target))
		}
	}
	f.Add([]byte("directories whose paths have many elements, and no attack"))
	f.Add([]byte("\x03\xff\x09\x04\x02\x02\x0b\x01\x00\xff\x0a\x03\x02\x02\x02\x00\xff\x0b\x02\x04\x0d\x00\x02\x01\x09"))
	random(f)
	w, process := newWorld(f), startConfined(f)
	inputs, ready, moved, swaps := 0, 0, 0, &atomic.Int64{}
	f.Fuzz(func(t *testing.T, data []byte) {
		w.reset(t)
		process.do(t, work{
			Spec: v1.LocalVolumeNodeSpec{BasePaths: []string{w.base()}}, Allowed: []string{w.base()}, Rounds: 1, Reset: true,
		})
		in := input(data)
		first, second := in.spec(w), in.spec(w)
		stop := w.attackers(swaps, in.steps(), in.steps())
		var statuses []v1.LocalVolumeNodeStatus
		for _, spec := range []v1.LocalVolumeNodeSpec{first, second, first} {
			statuses = append(statuses, process.do(t, work{Spec: spec, Allowed: []string{w.base()}, Rounds: 3}))
		}
		stop()
		require.Equal(t, w.before, w.outside(t))
		text, err := json.Marshal(statuses)
		require.NoError(t, err)
		require.NotContains(t, string(text), secret)
		inputs++
		for _, s := range statuses {
			for _, d := range s.Directories {
				if d.State == v1.DirectoryReady {
					ready++
				}
			}
			for _, d := range s.Wipes {
				if d.State == v1.WipeMoved || d.State == v1.WipeDone && d.Message == "the data is deleted" {
					moved++
				}
			}
		}
	})
	if inputs > 0 {
		f.Logf("%d inputs: %d swaps, %d directories ready, %d deletions, 0 escapes", inputs, swaps.Load(), ready, moved)
	}
}
