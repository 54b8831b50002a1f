package plugins

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"
)

type entry struct {
	name, content string
	link          bool
}

func zipped(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(0o644)
		if e.link {
			h.SetMode(fs.ModeSymlink | 0o777)
		}
		w, err := z.CreateHeader(h)
		require.NoError(t, err)
		_, err = w.Write([]byte(e.content))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return out.Bytes()
}

func tarred(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	gz := gzip.NewWriter(&out)
	w := tar.NewWriter(gz)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: tar.TypeReg, Size: int64(len(e.content)), Mode: 0o644}
		if e.link {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, e.content, 0
		}
		require.NoError(t, w.WriteHeader(h))
		if !e.link {
			_, err := w.Write([]byte(e.content))
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	require.NoError(t, gz.Close())
	return out.Bytes()
}

func sha512Of(b []byte) string {
	sum := sha512.Sum512(b)
	return hex.EncodeToString(sum[:])
}

// files serves archives and counts requests.
type files struct {
	*httptest.Server
	requests int
	content  map[string][]byte
}

func serve(t *testing.T, content map[string][]byte) *files {
	f := &files{content: content}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.requests++
		body, ok := f.content[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(body)
	}))
	t.Cleanup(f.Close)
	return f
}

func fetcher(dir, hub string) *Fetcher {
	return &Fetcher{Dir: dir, HubURL: hub, MaxBytes: 1 << 20, Log: slog.New(slog.DiscardHandler),
		Retry: func(int) time.Duration { return 0 }}
}

func TestArchivesAreUnpackedBelowThePluginPath(t *testing.T) {
	for _, test := range []struct {
		name, path string
		archive    func(testing.TB, ...entry) []byte
		want       string
	}{
		{"a zip", "/p.zip", zipped, "p/lib/a.jar"},
		{"a tar.gz", "/p.tar.gz", tarred, "p/lib/a.jar"},
		{"a jar stays a jar", "/dir/p-1.0.jar", zipped, "p/p-1.0.jar"},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := test.archive(
				t,
				entry{name: "p/lib/a.jar", content: "jar"},
				entry{name: "p/doc/readme", content: "x"},
			)
			server := serve(t, map[string][]byte{test.path: body})
			f := fetcher(t.TempDir(), "")
			archives := []contract.PluginArchive{{Name: "p", URL: server.URL + test.path, SHA512: sha512Of(body)}}
			require.NoError(t, f.Install(t.Context(), nil, archives))
			want := test.want
			if want == "p/lib/a.jar" {
				want = "p/p/lib/a.jar"
			}
			require.FileExists(t, filepath.Join(f.Installed(), want))
			require.Equal(t, 1, server.requests)

			require.NoError(t, f.Install(t.Context(), nil, archives))
			require.Equal(t, 1, server.requests, "the second start finds it in the cache")

			require.NoError(t, os.WriteFile(filepath.Join(f.Installed(), want), []byte("tampered"), 0o644))
			require.NoError(t, f.Install(t.Context(), nil, archives))
			require.Equal(t, 2, server.requests, "an archive that was changed on disk is fetched again")

			require.NoError(t, f.Install(t.Context(), nil, nil))
			require.NoDirExists(t, filepath.Join(f.Installed(), "p"), "a plugin that is no longer listed is removed")
			require.NoFileExists(t, filepath.Join(f.records(), "p.json"))
		})
	}
}

func TestUntrustedArchivesAreRefused(t *testing.T) {
	good := zipped(t, entry{name: "a.jar", content: "jar"})
	big := bytes.Repeat([]byte("x"), 2<<20)
	for _, test := range []struct {
		name, message string
		body          []byte
		sum           string
	}{
		{"a checksum of another archive", "the archive's sha512 is ", good, sha512Of([]byte("other"))},
		{"an invalid checksum", "is not 128 hexadecimal digits", good, "abc"},
		{
			"a path that escapes from a zip",
			"the path is outside the plugin's directory",
			zipped(t, entry{name: "../../evil.jar", content: "x"}),
			"",
		},
		{
			"a path that escapes from a tar",
			"the path is outside the plugin's directory",
			tarred(t, entry{name: "a/../../evil.jar", content: "x"}),
			"",
		},
		{
			"an absolute path",
			"the path is outside the plugin's directory",
			tarred(t, entry{name: "/etc/evil.jar", content: "x"}),
			"",
		},
		{"a path with backslashes", "the name contains a backslash", zipped(t, entry{name: `..\evil.jar`, content: "x"}), ""},
		{
			"a link to outside of a zip",
			"the link's target is outside",
			zipped(t, entry{name: "lib", content: "../..", link: true}),
			"",
		},
		{
			"a link to outside of a tar",
			"the link's target is outside",
			tarred(t, entry{name: "lib", content: "/etc", link: true}),
			"",
		},
		{
			"a file through a link that another entry replaced",
			"",
			tarred(t, entry{name: "d", content: ".", link: true}, entry{name: "d", content: "x"}),
			"",
		},
		{"a hard link or device", "it is neither a file nor a directory", special(t), ""},
		{"an archive that is too large", "the archive is larger than 1048576 bytes", big, ""},
		{
			"an archive that unpacks to too much",
			"the content is larger than four times",
			zipped(t, entry{name: "a.jar", content: string(bytes.Repeat([]byte{0}, 5<<20))}),
			"",
		},
		{"an archive without a plugin", "the archive contains no plugin", zipped(t, entry{name: "readme", content: "x"}), ""},
		{"not an archive", "unknown archive format", []byte("<html>not found</html>"), ""},
		{"an empty response", "unknown archive format", nil, ""},
		{"a truncated zip", "unpack zip: ", good[:len(good)-10], ""},
		{"a truncated tar.gz", "unpack tar.gz: ", tarred(t, entry{name: "a.jar", content: "jar"})[:30], ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := serve(t, map[string][]byte{"/p": test.body})
			dir := t.TempDir()
			f := fetcher(filepath.Join(dir, "plugins"), "")
			if test.sum == "" {
				test.sum = sha512Of(test.body)
			}
			err := f.Install(
				t.Context(),
				nil,
				[]contract.PluginArchive{{Name: "p", URL: server.URL + "/p?token=s3cret", SHA512: test.sum}},
			)
			require.ErrorContains(t, err, "install plugin p: ")
			require.ErrorContains(t, err, test.message)
			require.NotContains(t, err.Error(), "s3cret")
			require.NoDirExists(t, filepath.Join(f.Installed(), "p"))
			require.LessOrEqual(t, server.requests, 1, "another attempt would not help")
			outside, err := filepath.Glob(filepath.Join(dir, "*"))
			require.NoError(t, err)
			for _, path := range outside {
				require.Equal(t, "plugins", filepath.Base(path), "nothing is written outside")
			}
		})
	}
}

func special(t *testing.T) []byte {
	var out bytes.Buffer
	gz := gzip.NewWriter(&out)
	w := tar.NewWriter(gz)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "x", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}))
	require.NoError(t, w.Close())
	require.NoError(t, gz.Close())
	return out.Bytes()
}

func TestHubPluginsAreVerifiedWithTheChecksumsOfTheHub(t *testing.T) {
	body := zipped(t, entry{name: "acme-thing-1.2/lib/a.jar", content: "jar"})
	sum := sha1.Sum(body)
	const path = "/api/plugins/acme/thing/versions/1.2"
	for _, test := range []struct {
		name, manifest, message string
	}{
		{"with both checksums, as Confluent Hub", fmt.Sprintf(`{"name":"thing","version":"1.2","owner":{"username":"acme"},`+
			`"archive":{"name":"acme-thing-1.2.zip","url":"/archives/thing.zip","mime_type":"application/zip",`+
			`"md5":"%x","sha1":"%x"}}`, md5.Sum(body), sum), ""},
		{"with a sha1 alone", fmt.Sprintf(`{"archive":{"url":"/archives/thing.zip","sha1":"%x"}}`, sum), ""},
		{
			"with an md5 of another archive",
			fmt.Sprintf(`{"archive":{"url":"/archives/thing.zip","sha1":"%x","md5":"d41d8cd98f00b204e9800998ecf8427e"}}`, sum),
			"the archive's md5 is ",
		},
		{
			"with a sha1 of another archive",
			`{"archive":{"url":"/archives/thing.zip","sha1":"da39a3ee5e6b4b0d3255bfef95601890afd80709"}}`,
			"the archive's sha1 is ",
		},
		{
			"with an invalid sha1",
			`{"archive":{"url":"/archives/thing.zip","sha1":"00"}}`,
			"the sha1 checksum is not 40 hexadecimal digits",
		},
		{
			"without a checksum",
			`{"archive":{"url":"/archives/thing.zip"}}`,
			"the response has neither archive.sha1 nor archive.md5",
		},
		{
			"without a URL",
			`{"archive":{"sha1":"da39a3ee5e6b4b0d3255bfef95601890afd80709"}}`,
			path + ": the response has no archive.url",
		},
		{
			"with a URL that is not http",
			`{"archive":{"url":"file:///etc/passwd","sha1":"da39a3ee5e6b4b0d3255bfef95601890afd80709"}}`,
			"the URL must start with http or https",
		},
		{"without a manifest", "", "the server responded 404 Not Found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			content := map[string][]byte{"/archives/thing.zip": body}
			if test.manifest != "" {
				content[path] = []byte(test.manifest)
			}
			server := serve(t, content)
			f := fetcher(t.TempDir(), server.URL)
			err := f.Install(t.Context(), []string{"acme/thing:1.2"}, nil)
			if test.message != "" {
				require.ErrorContains(t, err, test.message)
				return
			}
			require.NoError(t, err)
			require.FileExists(t, filepath.Join(f.Installed(), "acme-thing-1.2", "acme-thing-1.2", "lib", "a.jar"))
			requests := server.requests
			require.NoError(t, f.Install(t.Context(), []string{"acme/thing:1.2"}, nil))
			require.Equal(t, requests, server.requests, "the cache is used without asking the hub")
		})
	}
}

func TestTemporaryServerErrorsAreRetried(t *testing.T) {
	body := zipped(t, entry{name: "a.jar", content: "jar"})
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests++; requests < Attempts {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(body)
	}))
	defer server.Close()
	f := fetcher(t.TempDir(), "")
	require.NoError(
		t,
		f.Install(t.Context(), nil, []contract.PluginArchive{{Name: "p", URL: server.URL, SHA512: sha512Of(body)}}),
	)
	require.Equal(t, Attempts, requests)
}

func TestStalledDownloadFails(t *testing.T) {
	for _, test := range []struct {
		name string
		says string
	}{{"before the response", ""}, {"in the middle of an archive", "PK"}} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if test.says != "" {
					_, _ = w.Write([]byte(test.says))
					_ = http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
			}))
			defer server.Close()
			f := fetcher(t.TempDir(), "")
			f.Stall = 20 * time.Millisecond
			err := f.Install(
				t.Context(),
				nil,
				[]contract.PluginArchive{{Name: "p", URL: server.URL, SHA512: sha512Of(nil)}},
			)
			require.ErrorContains(t, err, "the server sent nothing for 20ms")
		})
	}
}

func TestInvalidPluginNamesAreRefused(t *testing.T) {
	f := fetcher(t.TempDir(), "http://127.0.0.1:1")
	for _, coordinate := range []string{
		"",
		"a",
		"a/b",
		"a/b:",
		"a/..:1",
		"../b:1",
		"a/b:..",
		"a/b/c:1",
		"a/b:1/2",
		"a b/c:1",
	} {
		require.ErrorContains(
			t,
			f.Install(t.Context(), []string{coordinate}, nil),
			"must be owner/plugin:version",
			coordinate,
		)
	}
	require.ErrorContains(t, f.Install(t.Context(), []string{"a/b:latest"}, nil), "must name a version")
	require.ErrorContains(
		t,
		f.Install(t.Context(), nil, []contract.PluginArchive{{Name: "../x", SHA512: sha512Of(nil)}}),
		"the name must match",
	)
	require.ErrorContains(t, f.Install(t.Context(), []string{"a/b:1", "a/b:1"}, nil), "it is listed twice")
}
