package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func TestArchiveHoldsTheImageInTheFormatOfOCI(t *testing.T) {
	t.Parallel()
	const tag = "example.org/weir/one:v0.1.0"
	dir := t.TempDir()
	image, err := random.Image(1000, 2)
	must(t, err)
	reference, err := name.NewTag(tag)
	must(t, err)
	saved, first, second := filepath.Join(dir, "saved.tar"), filepath.Join(dir, "1.tar"), filepath.Join(dir, "2.tar")
	must(t, tarball.WriteToFile(saved, reference, image))
	must(t, archive(saved, tag, first))
	must(t, archive(saved, tag, second))
	if read(t, first) != read(t, second) {
		t.Error("two archives of an image differ")
	}

	unpacked := unpack(t, first)
	index, err := layout.ImageIndexFromPath(unpacked)
	must(t, err)
	must(t, validate.Index(index))
	manifest, err := index.IndexManifest()
	must(t, err)
	if len(manifest.Manifests) != 1 || manifest.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "v0.1.0" {
		t.Errorf("index %+v", manifest)
	}
	found, err := index.Image(manifest.Manifests[0].Digest)
	must(t, err)
	compare(t, image, found)
}

// compare requires the same configuration and layers, and the media types of OCI.
func compare(t *testing.T, want, got v1.Image) {
	t.Helper()
	wantConfig, err := want.ConfigFile()
	must(t, err)
	gotConfig, err := got.ConfigFile()
	must(t, err)
	expected, err := json.Marshal(wantConfig)
	must(t, err)
	actual, err := json.Marshal(gotConfig)
	must(t, err)
	if string(expected) != string(actual) {
		t.Errorf("configuration %s, want %s", actual, expected)
	}
	manifest, err := got.Manifest()
	must(t, err)
	if manifest.MediaType != types.OCIManifestSchema1 || manifest.Config.MediaType != types.OCIConfigJSON {
		t.Errorf("media types %s and %s", manifest.MediaType, manifest.Config.MediaType)
	}
	for _, layer := range manifest.Layers {
		if layer.MediaType != types.OCILayer {
			t.Errorf("media type of a layer %s", layer.MediaType)
		}
	}
}

// unpack extracts an archive and returns the directory.
func unpack(t *testing.T, file string) string {
	t.Helper()
	in, err := os.Open(file)
	must(t, err)
	defer in.Close()
	dir := t.TempDir()
	for reader := tar.NewReader(in); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		must(t, err)
		path := filepath.Join(dir, header.Name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		data, err := io.ReadAll(reader)
		must(t, err)
		must(t, os.WriteFile(path, data, 0o600))
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	return string(data)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
