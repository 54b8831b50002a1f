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

// final is a failure that another attempt cannot cure.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// hubManifest is what a hub says of one version of a plugin.
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
		return plugin{}, fmt.Errorf("install plugin %q: owner/plugin:version is wanted", coordinate)
	}
	owner, name, version := m[1], m[2], m[3]
	if version == "latest" {
		return plugin{}, fmt.Errorf("install plugin %q: a version is wanted; the latest one of today is not that of a restart", coordinate)
	}
	return plugin{
		name: owner + "-" + name + "-" + version,
		// A version that is published stays as it is, so it alone says whether the cache will do: no request to the hub then.
		identity: "hub:" + coordinate,
		locate: func(ctx context.Context) (archive, error) {
			return f.askHub(ctx, owner, name, version)
		},
	}, nil
}

func (f *Fetcher) askHub(ctx context.Context, owner, name, version string) (archive, error) {
	address, err := url.JoinPath(f.HubURL, "api", "plugins", owner, name, "versions", version)
	if err != nil {
		return archive{}, fmt.Errorf("ask the hub: %w", err)
	}
	var manifest hubManifest
	err = f.get(ctx, address, func(body io.Reader) error {
		return json.NewDecoder(io.LimitReader(body, 1<<20)).Decode(&manifest)
	})
	if err != nil {
		return archive{}, fmt.Errorf("ask the hub at %s: %w", printable(address), err)
	}
	base, _ := url.Parse(address)
	ref, err := base.Parse(manifest.Archive.URL)
	if err != nil || manifest.Archive.URL == "" {
		return archive{}, fmt.Errorf("ask the hub at %s: its answer has no archive.url", printable(address))
	}
	found := archive{url: ref.String()}
	for _, c := range []struct{ name, value string }{{"sha1", manifest.Archive.SHA1}, {"md5", manifest.Archive.MD5}} {
		if c.value == "" {
			continue
		}
		sum, err := newChecksum(c.name, c.value)
		if err != nil {
			return archive{}, fmt.Errorf("ask the hub at %s: %w", printable(address), err)
		}
		found.sums = append(found.sums, sum)
	}
	if len(found.sums) == 0 {
		return archive{}, fmt.Errorf("ask the hub at %s: its answer has neither archive.sha1 nor archive.md5", printable(address))
	}
	return found, nil
}

// download puts an archive into a file, and checks it.
func (f *Fetcher) download(ctx context.Context, a archive, file string) error {
	err := f.get(ctx, a.url, func(body io.Reader) error {
		out, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
		if err != nil {
			return final{err}
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
			return final{fmt.Errorf("it is larger than %d bytes", f.MaxBytes)}
		}
		for i, want := range a.sums {
			if err := want.check(sums[i]); err != nil {
				return final{err}
			}
		}
		return out.Close()
	})
	if err != nil {
		return fmt.Errorf("download %s: %w", printable(a.url), err)
	}
	return nil
}

// get makes a request until one attempt is read to its end.
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
		if err == nil || errors.As(err, new(final)) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (f *Fetcher) getOnce(ctx context.Context, address string, read func(io.Reader) error) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return final{errors.New("an http or https address is wanted")}
	}
	stall := f.Stall
	if stall == 0 {
		stall = StallTimeout
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(stall, func() { cancel(fmt.Errorf("nothing came for %s", stall)) })
	defer watch.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return final{errors.New("the address cannot be used")}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		var urlErr *url.Error
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if errors.As(err, &urlErr) {
			// Its text has the whole address in it, and so what may be secret there.
			err = urlErr.Err
		}
		return err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusOK:
		err := read(progress{res.Body, func() { watch.Reset(stall) }})
		if cause := context.Cause(ctx); err != nil && cause != nil {
			return cause
		}
		return err
	case res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("the server answered %s", res.Status)
	}
	return final{fmt.Errorf("the server answered %s", res.Status)}
}

// progress tells of everything that is read.
type progress struct {
	io.Reader
	tell func()
}

func (p progress) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.tell()
	return n, err
}

// printable is an address without what may be secret in it: user, password and query.
func printable(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that cannot be parsed"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
