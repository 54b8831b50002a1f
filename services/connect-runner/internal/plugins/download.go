package plugins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"
)

// permanent is an error that a retry does not fix.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// hubManifest is the hub's description of one version of a plugin.
type hubManifest struct {
	Archive struct {
		URL  string `json:"url"`
		SHA1 string `json:"sha1"`
		MD5  string `json:"md5"`
	} `json:"archive"`
}

func (f *Fetcher) hubPlugin(coordinate string) (plugin, error) {
	m := coordinates.FindStringSubmatch(coordinate)
	if m == nil {
		return plugin{}, fmt.Errorf("install plugin %q: must be owner/plugin:version", coordinate)
	}
	owner, name, version := m[1], m[2], m[3]
	if version == "latest" {
		return plugin{}, fmt.Errorf(
			"install plugin %q: must name a version; latest may change between restarts",
			coordinate,
		)
	}
	return plugin{
		name: owner + "-" + name + "-" + version,
		// A published version does not change, so a cached one is used without a request to the hub.
		identity: "hub:" + coordinate,
		locate: func(ctx context.Context) (archive, error) {
			return f.locateInHub(ctx, owner, name, version)
		},
	}, nil
}

// locateInHub returns the URL and the checksums of a plugin's archive.
func (f *Fetcher) locateInHub(ctx context.Context, owner, name, version string) (archive, error) {
	address, err := url.JoinPath(f.HubURL, "api", "plugins", owner, name, "versions", version)
	if err != nil {
		return archive{}, fmt.Errorf("query the hub: %w", err)
	}
	var manifest hubManifest
	err = f.get(ctx, address, func(body io.Reader) error {
		return json.NewDecoder(io.LimitReader(body, 1<<20)).Decode(&manifest)
	})
	if err != nil {
		return archive{}, fmt.Errorf("query the hub at %s: %w", printable(address), err)
	}
	base, _ := url.Parse(address)
	ref, err := base.Parse(manifest.Archive.URL)
	if err != nil || manifest.Archive.URL == "" {
		return archive{}, fmt.Errorf("query the hub at %s: the response has no archive.url", printable(address))
	}
	found := archive{url: ref.String()}
	for _, c := range []struct{ name, value string }{{"sha1", manifest.Archive.SHA1}, {"md5", manifest.Archive.MD5}} {
		if c.value == "" {
			continue
		}
		sum, err := newChecksum(c.name, c.value)
		if err != nil {
			return archive{}, fmt.Errorf("query the hub at %s: %w", printable(address), err)
		}
		found.sums = append(found.sums, sum)
	}
	if len(found.sums) == 0 {
		return archive{}, fmt.Errorf(
			"query the hub at %s: the response has neither archive.sha1 nor archive.md5",
			printable(address),
		)
	}
	return found, nil
}

// download writes an archive to a file and verifies its checksums.
func (f *Fetcher) download(ctx context.Context, a archive, file string) error {
	err := f.get(ctx, a.url, func(body io.Reader) error {
		out, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
		if err != nil {
			return permanent{err}
		}
		defer out.Close()
		writers := []io.Writer{out}
		sums := make([]hash.Hash, len(a.sums))
		for i, want := range a.sums {
			sums[i] = want.make()
			writers = append(writers, sums[i])
		}
		n, err := io.Copy(io.MultiWriter(writers...), io.LimitReader(body, f.MaxBytes+1))
		switch {
		case err != nil:
			return err
		case n > f.MaxBytes:
			return permanent{fmt.Errorf("the archive is larger than %d bytes; raise --plugin-max-bytes", f.MaxBytes)}
		}
		for i, want := range a.sums {
			if err := want.check(sums[i]); err != nil {
				return permanent{err}
			}
		}
		return out.Close()
	})
	if err != nil {
		return fmt.Errorf("download %s: %w", printable(a.url), err)
	}
	return nil
}

// get retries a request until a response has been read completely.
func (f *Fetcher) get(ctx context.Context, address string, read func(io.Reader) error) error {
	retry := f.Retry
	if retry == nil {
		retry = Backoff
	}
	var err error
	for attempt := range Attempts {
		if attempt > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(retry(attempt - 1)):
			}
		}
		err = f.getOnce(ctx, address, read)
		if err == nil || errors.As(err, new(permanent)) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (f *Fetcher) getOnce(ctx context.Context, address string, read func(io.Reader) error) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return permanent{errors.New("the URL must start with http or https")}
	}
	stall := f.Stall
	if stall == 0 {
		stall = StallTimeout
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(stall, func() { cancel(fmt.Errorf("the server sent nothing for %s", stall)) })
	defer timer.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return permanent{errors.New("the URL is invalid")}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		var urlErr *url.Error
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if errors.As(err, &urlErr) {
			// The text of url.Error contains the whole URL, which may contain secrets.
			err = urlErr.Err
		}
		return err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusOK:
		err := read(progressReader{res.Body, func() { timer.Reset(stall) }})
		if cause := context.Cause(ctx); err != nil && cause != nil {
			return cause
		}
		return err
	case res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("the server responded %s", res.Status)
	}
	return permanent{fmt.Errorf("the server responded %s", res.Status)}
}

// progressReader calls onRead after every read.
type progressReader struct {
	io.Reader
	onRead func()
}

func (p progressReader) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.onRead()
	return n, err
}

// printable returns a URL without user, password and query, which may be secret.
func printable(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an invalid URL"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
