// Package plugins downloads, verifies, unpacks and caches Connect plugins.
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

// Fetcher installs plugins in a directory.
type Fetcher struct {
	// Dir is used by the fetcher alone. It is created if it does not exist.
	Dir string
	// HubURL is the base URL of a Confluent Hub API.
	HubURL string
	// MaxBytes is the maximum size of an archive. Its content may be UnpackFactor times as large.
	MaxBytes int64
	// Retry returns the delay after a failed attempt. The default is Backoff.
	Retry func(attempt int) time.Duration
	// Stall is the time without data after which an attempt fails. The default is StallTimeout.
	Stall time.Duration
	Log   *slog.Logger
}

// Attempts is the number of attempts of a request.
const Attempts = 4

// StallTimeout is the default of Fetcher.Stall. The duration of a whole download is not limited: networks differ.
const StallTimeout = 30 * time.Second

// Backoff doubles from half a second.
func Backoff(attempt int) time.Duration { return 500 * time.Millisecond << attempt }

// plugin is one plugin to install.
type plugin struct {
	// name of its directory below Installed.
	name string
	// identity is stored with the installed files; a different one causes a new download.
	identity string
	// locate returns the archive's URL and checksums.
	locate func(context.Context) (archive, error)
}

// archive is a download and its expected checksums.
type archive struct {
	url  string
	sums []checksum
}

var (
	// Each part is valid in the name of a directory.
	coordinates = regexp.MustCompile(
		`^([A-Za-z0-9][A-Za-z0-9_.-]*)/([A-Za-z0-9][A-Za-z0-9_.-]*):([A-Za-z0-9][A-Za-z0-9_.+-]*)$`,
	)
	safeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.+-]*$`)
)

// Installed returns the directory with the installed plugins, for plugin.path.
func (f *Fetcher) Installed() string { return filepath.Join(f.Dir, "installed") }

// Install installs the given plugins and removes all others. Installed plugins that pass verification are kept.
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
			return fmt.Errorf("install plugin %s: it is listed twice", p.name)
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

// prepare creates the directories and removes partial downloads and plugins that are no longer listed.
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
		f.Log.Warn("downloading the cached plugin again", "plugin", p.name, "reason", err)
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
	found, err := scan(unpacked, p.identity)
	if err != nil {
		return err
	}
	if !found.hasCode() {
		return errors.New("the archive contains no plugin: it has no .jar and no .class file")
	}
	// The record is written first and the directory is renamed last, so that a directory with a record is complete.
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
		return plugin{}, fmt.Errorf("install plugin %q: the name must match ^[A-Za-z0-9][A-Za-z0-9_.+-]*$", a.Name)
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
