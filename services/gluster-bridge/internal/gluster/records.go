//go:build linux

package gluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
)

// record is what a new process of the node has to know about the mounts of a volume. It is the file <key>.json in the
// mount directory.
type record struct {
	Volume volumeJSON `json:"volume"`
	// Boot is the boot of the node in which the devices are valid.
	Boot string `json:"boot"`
	// Mounted is the client that is mounted, if its device is not empty.
	Mounted deviceJSON `json:"mounted"`
	// Ended are clients that have ended and whose mounts are not all replaced yet.
	Ended []deviceJSON `json:"ended,omitempty"`
}

// deviceJSON is the device of a client and the source of its mounts in mountinfo.
type deviceJSON struct {
	Device string `json:"device,omitempty"`
	Source string `json:"source,omitempty"`
}

// recorder keeps the record of a volume. Only nodes have records.
type recorder struct {
	mu   sync.Mutex
	root string
	key  string
	record
	// pins keep the file systems of ended clients, so that the kernel gives their devices to no other mount.
	pins map[string]*os.File
}

const (
	recordSuffix = ".json"
	maxRecord    = 1 << 16
	bootIDFile   = "/proc/sys/kernel/random/boot_id"
)

func bootID() (string, error) {
	data, err := os.ReadFile(bootIDFile)
	return strings.TrimSpace(string(data)), err
}

// save writes the record; it is called with mu.
func (r *recorder) save() error {
	data, err := json.Marshal(r.record)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.root, 0o700); err != nil {
		return err
	}
	dir, err := node.OpenDir(r.root)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return dir.WriteFile(r.key+recordSuffix, data, 0o600)
}

// current returns the device of the mounted client and its source, or empty strings.
func (r *recorder) current() deviceJSON {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Mounted
}

// noteMounted records the client that is mounted at point.
func (r *recorder) noteMounted(point string) error {
	mount, err := topMount(point)
	if err != nil {
		return err
	}
	if mount == nil {
		return fmt.Errorf("%s is not mounted in this container; check that its directory has mount propagation", point)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Mounted.Device == mount.Device {
		return nil
	}
	r.end()
	r.Mounted = deviceJSON{mount.Device, mount.Source}
	return r.save()
}

// noteEnded records that the client at point has ended, before it is unmounted.
func (r *recorder) noteEnded(point string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Mounted.Device == "" {
		return nil
	}
	if mount, err := topMount(point); err == nil && mount != nil && mount.Device == r.Mounted.Device {
		// O_PATH sends no request to the client.
		if fd, err := unix.Open(point, unix.O_PATH|unix.O_CLOEXEC, 0); err == nil {
			if r.pins == nil {
				r.pins = map[string]*os.File{}
			}
			r.pins[mount.Device] = os.NewFile(uintptr(fd), point)
		}
	}
	r.end()
	return r.save()
}

// end moves the mounted client to those that have ended.
func (r *recorder) end() {
	if r.Mounted.Device != "" && !slices.Contains(r.Ended, r.Mounted) {
		r.Ended = append(r.Ended, r.Mounted)
	}
	r.Mounted = deviceJSON{}
}

// forget removes clients that have ended, when no mount uses them any more.
func (r *recorder) forget(ended []deviceJSON) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range ended {
		if pin := r.pins[e.Device]; pin != nil {
			_ = pin.Close()
			delete(r.pins, e.Device)
		}
	}
	r.Ended = slices.DeleteFunc(r.Ended, func(d deviceJSON) bool { return slices.Contains(ended, d) })
	return r.save()
}

// ended returns the clients that have ended.
func (r *recorder) ended() []deviceJSON {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.Ended)
}

// remove removes the record. The volume has no mount any more.
func (r *recorder) remove() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Mounted, r.Ended = deviceJSON{}, nil
	return ignoreMissing(os.Remove(filepath.Join(r.root, r.key+recordSuffix)))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// LoadRecords reads what earlier processes on the node have mounted. It removes the records of an earlier boot of the
// node, and the empty directories that its mounts have left. It returns the number of volumes of this boot.
func (p *Pool) LoadRecords() (loaded int, err error) {
	boot, err := bootID()
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	p.boot = boot
	p.mu.Unlock()
	names, err := filepath.Glob(filepath.Join(p.Root, "*"+recordSuffix))
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		found, loadErr := p.load(name, boot)
		if loadErr != nil {
			err = errors.Join(err, fmt.Errorf("read the record %s: %w; remove it if no pod of the node uses the volume",
				name, loadErr))
		} else if found {
			loaded++
		}
	}
	return loaded, err
}

func (p *Pool) load(name, boot string) (found bool, err error) {
	dir, err := node.OpenDir(p.Root)
	if err != nil {
		return false, err
	}
	defer func() { _ = dir.Close() }()
	data, err := dir.ReadFile(filepath.Base(name), maxRecord)
	if err != nil {
		return false, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return false, err
	}
	m, err := r.Volume.volume()
	if err != nil {
		return false, err
	}
	key := strings.TrimSuffix(filepath.Base(name), recordSuffix)
	if key != Key(m) {
		return false, fmt.Errorf("it describes the volume %s", Key(m))
	}
	if r.Boot != boot {
		// Remove removes no directory with content.
		_ = os.Remove(filepath.Join(p.Root, key))
		return false, os.Remove(name)
	}
	h := p.Of(m)
	h.recorder.mu.Lock()
	defer h.recorder.mu.Unlock()
	h.recorder.record = r
	return true, nil
}

// ended returns the clients of all volumes that have ended, by device.
func (p *Pool) ended() map[string]decide.Ended {
	ended := map[string]decide.Ended{}
	for _, h := range p.all() {
		point := ""
		if h.recorder.current().Device != "" {
			point = h.Point
		}
		for _, e := range h.recorder.ended() {
			ended[e.Device] = decide.Ended{Client: h.Key, Source: e.Source, Point: point}
		}
	}
	return ended
}
