package integration

import (
	"archive/zip"
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"
)

// zipOf returns a zip with one file.
func zipOf(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	w, err := z.Create(name)
	require.NoError(t, err)
	_, err = w.Write(content)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return archive.Bytes()
}

func testPlugin(t *testing.T) []byte {
	t.Helper()
	jar, err := os.ReadFile(filepath.Join(built.plugins[0], "testplugin", "weir-testplugin.jar"))
	require.NoError(t, err)
	return jar
}

func TestHubPluginIsDownloadedVerifiedAndRun(t *testing.T) {
	b := sharedKafka(t)
	archive := zipOf(t, "weir-testplugin-1.0/lib/testplugin.jar", testPlugin(t))
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/plugins/weir/testplugin/versions/1.0":
			_ = json.NewEncoder(w).
				Encode(map[string]any{"name": "testplugin", "version": "1.0", "archive": map[string]string{
					"url": "/archive.zip", "sha1": fmt.Sprintf("%x", sha1.Sum(archive)), "md5": fmt.Sprintf("%x", md5.Sum(archive)),
				}})
		case "/archive.zip":
			_, _ = w.Write(archive)
		default:
			http.NotFound(w, r)
		}
	}))
	defer hub.Close()
	topic := b.CreateTopic(t, "hub", 1)
	d := deploy(t, "hub", map[string]string{"connector.class": sequence, "topic": topic, "count": "10"})
	d.runner.DownloadPlugins = []string{"weir/testplugin:1.0"}
	d.plugins = nil // Only the downloaded plugin has the class.
	d.args = []string{"--hub-url", hub.URL}
	d.startTasks(1)
	eventually(t, time.Minute, "records flow", func() bool { return b.Count(t, topic) == 10 })

	d.runner.DownloadPlugins = []string{"weir/testplugin:1.0", "weir/missing:2.0"}
	p := d.startConnector()
	require.Equal(t, 12, p.exit())
	require.Equal(t, contract.ReasonPluginInvalid, p.message().Reason)
	require.Equal(
		t,
		"install plugin weir-missing-2.0: query the hub at "+hub.URL+
			"/api/plugins/weir/missing/versions/2.0: the server responded 404 Not Found",
		p.message().Message,
	)
}

func TestUntrustedPluginEndsTheRunBeforeTheJVMStarts(t *testing.T) {
	requireBuild(t)
	jar := testPlugin(t)
	good := zipOf(t, "lib/testplugin.jar", jar)
	for _, test := range []struct {
		name, message string
		archive       []byte
		sum           string
	}{
		{"a checksum of another archive", "the archive's sha512 is ", good, strings.Repeat("0", 128)},
		{
			"a path that escapes",
			`entry "../../testplugin.jar": the path is outside the plugin's directory`,
			zipOf(t, "../../testplugin.jar", jar),
			"",
		},
		{
			"no plugin inside",
			"the archive contains no plugin: it has no .jar and no .class file",
			zipOf(t, "README", []byte("soon")),
			"",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(
				http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(test.archive) }),
			)
			defer server.Close()
			if test.sum == "" {
				test.sum = fmt.Sprintf("%x", sha512.Sum512(test.archive))
			}
			d := deploy(t, "untrusted", map[string]string{"connector.class": sequence, "topic": "untrusted"})
			d.runner.Plugins = []contract.PluginArchive{{Name: "acme", URL: server.URL + "/acme.zip", SHA512: test.sum}}
			p := d.startConnector()
			require.Equal(t, 12, p.exit())
			require.Equal(t, contract.ReasonPluginInvalid, p.message().Reason)
			require.Contains(t, p.message().Message, "install plugin acme: ")
			require.Contains(t, p.message().Message, test.message)
			require.NotContains(t, p.text(), "JVM started")
		})
	}
}

func TestClassDataArchiveIsUsed(t *testing.T) {
	d := deploy(t, "archived", map[string]string{"connector.class": sequence, "topic": "archived"})
	classes := filepath.Join(t.TempDir(), "classes")
	d.runner.JVMOptions = []string{"-Xlog:class+load:file=" + classes}
	var result contract.ValidationResult
	code, _ := d.request(&result, "validate")
	require.Zero(t, code)
	text, err := os.ReadFile(classes)
	require.NoError(t, err)
	require.Contains(t, string(text), "dev.weir.connect.Main source: shared objects file (top)")
}
