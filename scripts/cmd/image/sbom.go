package main

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// list writes the SBOM of an image: Debian packages, modules of Go programs, and Java archives.
func list(image v1.Image, tag string, to io.Writer) error {
	config, err := image.ConfigName()
	if err != nil {
		return err
	}
	files := mutate.Extract(image)
	defer files.Close()
	found := map[string]cdx.Component{}
	distribution := "debian"
	for archive := tar.NewReader(files); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if path.Clean("/"+header.Name) == "/usr/lib/os-release" {
			if distribution, err = distributionID(archive); err != nil {
				return fmt.Errorf("%s: %w", header.Name, err)
			}
			continue
		}
		components, err := softwareIn(header, archive)
		if err != nil {
			return fmt.Errorf("%s: %w", header.Name, err)
		}
		for _, c := range components {
			c.Type, c.BOMRef = cdx.ComponentTypeLibrary, c.PackageURL
			found[c.PackageURL] = c
		}
	}
	components := make([]cdx.Component, 0, len(found))
	for _, c := range found {
		if after, ok := strings.CutPrefix(c.PackageURL, debianURL); ok {
			c.PackageURL = "pkg:deb/" + distribution + "/" + after
			c.BOMRef = c.PackageURL
		}
		components = append(components, c)
	}
	slices.SortFunc(components, func(a, b cdx.Component) int { return strings.Compare(a.PackageURL, b.PackageURL) })
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{
		Component: &cdx.Component{Type: cdx.ComponentTypeContainer, Name: tag, Version: config.String()},
	}
	bom.Components = &components
	return cdx.NewBOMEncoder(to, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
}

// softwareIn returns the software in one file of the image.
func softwareIn(header *tar.Header, content io.Reader) ([]cdx.Component, error) {
	name := path.Clean("/" + header.Name)
	switch {
	case name == "/var/lib/dpkg/status", path.Dir(name) == "/var/lib/dpkg/status.d":
		return debianPackages(content)
	case path.Ext(name) == ".jar":
		data, err := io.ReadAll(content)
		if err != nil {
			return nil, err
		}
		return javaArchive(path.Base(name), data)
	case header.Mode&0o111 != 0:
		data, err := io.ReadAll(content)
		if err != nil {
			return nil, err
		}
		return goModules(data), nil
	default:
		return nil, nil
	}
}

const debianURL = "pkg:deb/debian/"

// distributionID returns the ID of os-release, for example debian or ubuntu.
func distributionID(release io.Reader) (string, error) {
	lines := bufio.NewScanner(release)
	for lines.Scan() {
		if id, ok := strings.CutPrefix(lines.Text(), "ID="); ok {
			return strings.Trim(id, `"'`), nil
		}
	}
	return "debian", lines.Err()
}

// debianPackages reads dpkg's status file, or one file of status.d. Distroless images have no status file: status.d
// holds the control file and the checksums of each package.
func debianPackages(status io.Reader) ([]cdx.Component, error) {
	var found []cdx.Component
	fields := map[string]string{}
	end := func() {
		name, version, state := fields["Package"], fields["Version"], fields["Status"]
		if name != "" && version != "" && (state == "" || strings.HasSuffix(state, " installed")) {
			found = append(
				found,
				cdx.Component{
					Name:       name,
					Version:    version,
					PackageURL: debianURL + name + "@" + strings.ReplaceAll(version, "+", "%2B"),
				},
			)
		}
		clear(fields)
	}
	lines := bufio.NewScanner(status)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if lines.Text() == "" {
			end()
		}
		if key, value, ok := strings.Cut(lines.Text(), ": "); ok {
			fields[key] = value
		}
	}
	end()
	return found, lines.Err()
}

// goModules returns the standard library and the modules of a Go program. It returns nil for other files.
func goModules(program []byte) []cdx.Component {
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return nil // not a Go program
	}
	found := []cdx.Component{goModule("stdlib", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, module := range info.Deps {
		// A sibling module of this repository is replaced by a directory, which has no version.
		if module.Replace != nil {
			module = module.Replace
		}
		if module.Version != "" {
			found = append(found, goModule(module.Path, module.Version))
		}
	}
	return found
}

// goModule returns the component of one Go module.
func goModule(name, version string) cdx.Component {
	return cdx.Component{
		Name:       name,
		Version:    version,
		PackageURL: fmt.Sprintf("pkg:golang/%s@%s", name, strings.ReplaceAll(version, "+", "%2B")),
	}
}

// javaArchive returns the Maven artifacts in a jar.
func javaArchive(file string, data []byte) ([]cdx.Component, error) {
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	var found []cdx.Component
	for _, entry := range archive.File {
		if !strings.HasPrefix(entry.Name, "META-INF/maven/") || path.Base(entry.Name) != "pom.properties" {
			continue
		}
		content, err := entry.Open()
		if err != nil {
			return nil, err
		}
		properties := map[string]string{}
		for lines := bufio.NewScanner(content); lines.Scan(); {
			key, value, _ := strings.Cut(lines.Text(), "=")
			properties[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
		content.Close()
		found = append(found, mavenArtifact(properties["groupId"], properties["artifactId"], properties["version"]))
	}
	if len(found) > 0 {
		return found, nil
	}
	// Gradle writes no pom.properties. The file name contains the artifact and the version.
	base := strings.TrimSuffix(file, ".jar")
	if i := strings.LastIndex(base, "-"); i > 0 {
		return []cdx.Component{mavenArtifact("", base[:i], base[i+1:])}, nil
	}
	return []cdx.Component{mavenArtifact("", base, "")}, nil
}

// mavenArtifact returns the component of one Maven artifact.
func mavenArtifact(group, name, version string) cdx.Component {
	url := "pkg:maven/" + group + "/" + name
	if version != "" {
		url += "@" + version
	}
	return cdx.Component{Group: group, Name: name, Version: version, PackageURL: url}
}
