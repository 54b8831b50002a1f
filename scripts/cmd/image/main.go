// Command image makes a container image reproducible: it sets the timestamps of the image and of its files to a
// constant. It also writes the image's SBOM. With -oci it writes an image that is reproducible already as an OCI
// archive.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	from := flag.String("from", "", "archive written by docker save")
	to := flag.String("to", "", "archive for docker load")
	tag := flag.String("name", "", "name of the new image")
	sbom := flag.String("sbom", "", "file for the SBOM in CycloneDX format; empty for none")
	oci := flag.String("oci", "", "OCI archive to write instead of -to and -sbom")
	flag.Parse()
	err := error(nil)
	if *oci != "" {
		err = archive(*from, *tag, *oci)
	} else {
		err = finish(*from, *to, *tag, *sbom)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// finish writes the reproducible image to the archive to, and its SBOM if sbom is not empty.
func finish(from, to, tag, sbom string) error {
	image, err := tarball.ImageFromPath(from, nil)
	if err != nil {
		return fmt.Errorf("read %s: %w", from, err)
	}
	if image, err = reproducible(image); err != nil {
		return err
	}
	reference, err := name.NewTag(tag)
	if err != nil {
		return err
	}
	if err := tarball.WriteToFile(to, reference, image); err != nil {
		return fmt.Errorf("write %s: %w", to, err)
	}
	if sbom == "" {
		return nil
	}
	out, err := os.Create(sbom)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := list(image, tag, out); err != nil {
		return fmt.Errorf("list the software in %s: %w", tag, err)
	}
	return out.Close()
}

// reproducible removes from an image what differs between builds: timestamps and the name of the build host.
func reproducible(image v1.Image) (v1.Image, error) {
	image, err := mutate.Canonical(image)
	if err != nil {
		return nil, fmt.Errorf("set the timestamps: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Config.Image = ""
	return mutate.ConfigFile(image, config)
}
