// Package plugins fetches Connect plugins, verifies them, unpacks them and keeps them on disk.
package plugins

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/weir-dev/weir/apis/contract"
)

// Fetcher fetches plugins into a directory of its own.
type Fetcher struct {
	// Dir is the fetcher's own directory; it is made where it is missing.
	Dir string
	// HubURL is the address of a Confluent Hub's API.
	HubURL string
	// MaxBytes is how large an archive may be; it may unpack to UnpackFactor times that.
	MaxBytes int64
	// Retry is how long to wait after a failed attempt; nil means that of Backoff.
	Retry func(attempt int) time.Duration
	// Stall is how long a server may send nothing before the attempt has failed; 0 means StallTimeout.
	Stall time.Duration
	Log   *slog.Logger
}

// Attempts is how often a request is made before its failure counts.
const Attempts = 4

// StallTimeout is far above the pauses of a server that is alive. A download as a whole has no limit: networks differ.
const StallTimeout = 30 * time.Second

// Backoff doubles from half a second.
func Backoff(attempt int) time.Duration { return 500 * time.Millisecond << attempt }

// plugin is one plugin to install.
type plugin struct {
	// name is its directory below the installed ones.
	name string
	// identity changes with whatever should be there: it is compared with what is.
	identity string
	// locate finds out where the archive is and what its checksum has to be.
	locate func(context.Context) (archive, error)
}

// archive is where the bytes are and what they have to add up to.
type archive struct {
	url  string
	sums []checksum
}

var (
	// Each part can be a part of a directory's name.
	coordinates = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9_.-]*)/([A-Za-z0-9][A-Za-z0-9_.-]*):([A-Za-z0-9][A-Za-z0-9_.+-]*)$`)
	safeName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.+-]*$`)
)

// Installed is the directory that holds the plugins, for plugin.path.
func (f *Fetcher) Installed() string { return filepath.Join(f.Dir, "installed") }

// Install makes sure that exactly the plugins asked for are in Installed. What is there already and verifies is kept.
func (f *Fetcher) Install(ctx context.Context, hub []string, archives []contract.PluginArchive) error {
	var wanted []plugin
	for _, c := range hub {
		p, err := f.hubPlugin(c)
		if err != nil {
			return err
		}
		wanted = append(wanted, p)
	}
	for _, a := range archives {
		p, err := urlPlugin(a)
		if err != nil {
			return err
		}
		wanted = append(wanted, p)
	}
	names := map[string]bool{}
	for _, p := range wanted {
		if names[p.name] {
			return fmt.Errorf("install plugin %s: it is asked for twice", p.name)
		}
		names[p.name] = true
	}
	if len(wanted) == 0 {
		if _, err := os.Stat(f.Installed()); errors.Is(err, os.ErrNotExist) {
			return nil
		}
	}
	if err := f.prepare(names); err != nil {
		return fmt.Errorf("prepare plugin directory: %w", err)
	}
	for _, p := range wanted {
		if err := f.install(ctx, p); err != nil {
			return fmt.Errorf("install plugin %s: %w", p.name, err)
		}
	}
	return nil
}

// prepare makes the directories, and removes what an interrupted start and earlier wishes have left.
func (f *Fetcher) prepare(names map[string]bool) error {
	if err := os.RemoveAll(f.temp()); err != nil {
		return err
	}
	for _, dir := range []string{f.Installed(), f.temp(), f.records()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, dir := range []string{f.Installed(), f.records()} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if names[strings.TrimSuffix(e.Name(), recordSuffix)] {
				continue
			}
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

const recordSuffix = ".json"

func (f *Fetcher) install(ctx context.Context, p plugin) error {
	target := filepath.Join(f.Installed(), p.name)
	recordFile := filepath.Join(f.records(), p.name+recordSuffix)
	if err := verify(target, recordFile, p.identity); err == nil {
		f.Log.Info("plugin is in the cache", "plugin", p.name)
		return nil
	} else if !errors.Is(err, os.ErrNotExist) {
		f.Log.Warn("plugin in the cache is fetched again", "plugin", p.name, "reason", err)
	}
	a, err := p.locate(ctx)
	if err != nil {
		return err
	}
	file := filepath.Join(f.temp(), p.name+".archive")
	if err := f.download(ctx, a, file); err != nil {
		return err
	}
	unpacked := filepath.Join(f.temp(), p.name)
	if err := unpack(file, a.url, unpacked, f.MaxBytes*UnpackFactor); err != nil {
		return err
	}
	if err := os.Remove(file); err != nil {
		return err
	}
	found, err := take(unpacked, p.identity)
	if err != nil {
		return err
	}
	if !found.hasCode() {
		return errors.New("there is no plugin in the archive: it holds neither a jar nor a class")
	}
	// The record goes first and the directory moves in one step, so that a directory with a record is a whole one.
	if err := os.RemoveAll(target); err != nil {
		return err
	}
	if err := found.write(recordFile); err != nil {
		return err
	}
	if err := os.Rename(unpacked, target); err != nil {
		return err
	}
	f.Log.Info("plugin installed", "plugin", p.name, "files", len(found.Files))
	return nil
}

func (f *Fetcher) temp() string    { return filepath.Join(f.Dir, "tmp") }
func (f *Fetcher) records() string { return filepath.Join(f.Dir, "records") }

func urlPlugin(a contract.PluginArchive) (plugin, error) {
	if !safeName.MatchString(a.Name) {
		return plugin{}, fmt.Errorf("install plugin %q: the name cannot be that of a directory", a.Name)
	}
	sum, err := newChecksum("sha512", a.SHA512)
	if err != nil {
		return plugin{}, fmt.Errorf("install plugin %s: %w", a.Name, err)
	}
	found := archive{url: a.URL, sums: []checksum{sum}}
	return plugin{
		name:     a.Name,
		identity: "sha512:" + sum.want,
		locate:   func(context.Context) (archive, error) { return found, nil },
	}, nil
}
