package plugins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// errFinal marks a failure that another attempt cannot cure.
var errFinal = errors.New("")

// hubManifest is what a hub says of one version of a plugin.
type hubManifest struct {
	Archive struct {
		URL    string `json:"url"`
		SHA512 string `json:"sha512"`
		SHA256 string `json:"sha256"`
		SHA1   string `json:"sha1"`
		MD5    string `json:"md5"`
	} `json:"archive"`
}

func (f *Fetcher) hubPlugin(coordinate string) (plugin, error) {
	m := coordinates.FindStringSubmatch(coordinate)
	if m == nil || !safeName.MatchString(m[1]) || !safeName.MatchString(m[2]) || !safeName.MatchString(m[3]) {
		return plugin{}, fmt.Errorf("install plugin %q: owner/plugin:version is wanted", coordinate)
	}
	owner, name, version := m[1], m[2], m[3]
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
		return archive{}, fmt.Errorf("ask the hub: %w", err)
	}
	base, _ := url.Parse(address)
	ref, err := base.Parse(manifest.Archive.URL)
	if err != nil || manifest.Archive.URL == "" {
		return archive{}, errors.New("the hub does not say where the archive is")
	}
	// The strongest checksum that the hub gives.
	for _, c := range []struct{ name, value string }{
		{"sha512", manifest.Archive.SHA512}, {"sha256", manifest.Archive.SHA256}, {"sha1", manifest.Archive.SHA1}, {"md5", manifest.Archive.MD5},
	} {
		if c.value != "" {
			sum, err := newChecksum(c.name, c.value)
			return archive{url: ref.String(), sum: sum}, err
		}
	}
	return archive{}, errors.New("the hub gives no checksum of the archive")
}

// download puts an archive into a file, and checks it.
func (f *Fetcher) download(ctx context.Context, a archive, file string) error {
	err := f.get(ctx, a.url, func(body io.Reader) error {
		out, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("%w%w", errFinal, err)
		}
		defer out.Close()
		sum := a.sum.make()
		n, err := io.Copy(io.MultiWriter(out, sum), io.LimitReader(body, f.MaxBytes+1))
		switch {
		case err != nil:
			return err
		case n > f.MaxBytes:
			return fmt.Errorf("%wit is larger than %d bytes", errFinal, f.MaxBytes)
		}
		if err := a.sum.check(sum); err != nil {
			return fmt.Errorf("%w%w", errFinal, err)
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
		if err == nil || errors.Is(err, errFinal) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (f *Fetcher) getOnce(ctx context.Context, address string, read func(io.Reader) error) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%wan http or https address is wanted", errFinal)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("%wthe address cannot be used", errFinal)
	}
	client := f.Client
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		var urlErr *url.Error
		if errors.As(err, &urlErr) {
			// Its text has the whole address in it, and so what may be secret there.
			err = urlErr.Err
		}
		return err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusOK:
		return read(res.Body)
	case res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("the server answered %s", res.Status)
	}
	return fmt.Errorf("%wthe server answered %s", errFinal, res.Status)
}

// printable is an address without what may be secret in it: user, password and query.
func printable(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that cannot be parsed"
	}
	return strings.TrimSuffix((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String(), "?")
}
