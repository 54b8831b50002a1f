package main

import (
	"archive/tar"
	"bytes"
	"io"
	"slices"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestListDebianPackages(t *testing.T) {
	const installed = `Package: zlib1g
Status: install ok installed
Version: 1:1.2.13.dfsg-1
Description: compression library
 Version: of its description
Conffiles:

Package: perl-base
Status: deinstall ok config-files
Version: 5.36.0-7+deb12u3

Package: libpcre2-8-0
Version: 10.42-1+b1
Status: install ok installed
`
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"a dpkg status file": {
			map[string]string{"var/lib/dpkg/status": installed},
			[]string{"pkg:deb/debian/libpcre2-8-0@10.42-1%2Bb1", "pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1"},
		},
		"control files in status.d, as in distroless images": {
			map[string]string{
				"./usr/lib/os-release":                      "NAME=Debian\nID=debian\n",
				"./var/lib/dpkg/status.d/tzdata":            "Package: tzdata\nVersion: 2026a-0+deb12u1\nArchitecture: all\n",
				"./var/lib/dpkg/status.d/tzdata.md5sums":    "d41d8cd98f00b204e9800998ecf8427e  usr/share/zoneinfo/UTC\n",
				"./var/lib/dpkg/status.d/Y2EtY2VydGlmaWNhd": "Version: 20230311\nPackage: ca-certificates",
			},
			[]string{"pkg:deb/debian/ca-certificates@20230311", "pkg:deb/debian/tzdata@2026a-0%2Bdeb12u1"},
		},
		"packages of Ubuntu": {
			map[string]string{
				"usr/lib/os-release":  "ID=\"ubuntu\"\nID_LIKE=debian\n",
				"var/lib/dpkg/status": "Package: tar\nVersion: 1.35\nStatus: install ok installed\n",
			},
			[]string{"pkg:deb/ubuntu/tar@1.35"},
		},
		"an empty status file": {map[string]string{"var/lib/dpkg/status": ""}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := list(imageOf(t, c.files), "image:test", &out); err != nil {
				t.Fatal(err)
			}
			var bom cdx.BOM
			if err := cdx.NewBOMDecoder(&out, cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
				t.Fatal(err)
			}
			var got []string
			if bom.Components != nil {
				for _, component := range *bom.Components {
					if component.BOMRef != component.PackageURL {
						t.Errorf("%s has the reference %s", component.PackageURL, component.BOMRef)
					}
					got = append(got, component.PackageURL)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func imageOf(t *testing.T, files map[string]string) v1.Image {
	t.Helper()
	var archive bytes.Buffer
	to := tar.NewWriter(&archive)
	for name, content := range files {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o644}
		if err := to.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := to.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil },
	)
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	return image
}
