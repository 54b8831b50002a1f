// Command image finishes a container image: files and image get the same time whenever they are built, and what is in it is listed.
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
	from := flag.String("from", "", "archive that docker save has written")
	to := flag.String("to", "", "archive for docker load")
	tag := flag.String("name", "", "name of the finished image")
	sbom := flag.String("sbom", "", "file for the CycloneDX list of what is in the image")
	flag.Parse()
	if err := finish(*from, *to, *tag, *sbom); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func finish(from, to, tag, sbom string) error {
	image, err := tarball.ImageFromPath(from, nil)
	if err != nil {
		return fmt.Errorf("read %s: %w", from, err)
	}
	if image, err = timeless(image); err != nil {
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
		return fmt.Errorf("list what is in %s: %w", tag, err)
	}
	return out.Close()
}

// timeless is the image without what differs from one build to the next: times, and who has built it.
func timeless(image v1.Image) (v1.Image, error) {
	image, err := mutate.Canonical(image)
	if err != nil {
		return nil, fmt.Errorf("set the times: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Config.Image = ""
	return mutate.ConfigFile(image, config)
}
