package kafka

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-dev/weir/pkg/testkit"
)

//go:embed pom.xml
var pom []byte

// fetchTimeout bounds the download of the broker's jars (about 110 MB).
const fetchTimeout = 5 * time.Minute

// Require skips the test when no broker can run: java or mvn is missing, or the jars cannot be fetched. With CI=true
// it fails the test instead. In short mode (go test -short) it always skips the test.
func Require(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("short mode: this test needs a Kafka broker; run make test")
	}
	if _, err := Jars(t.Context()); err != nil {
		testkit.Skip(t, "no Kafka broker: "+err.Error())
	}
}

// Jars returns the directory with the broker's jars. The first call on a machine fetches them from Maven Central into
// the user's cache directory.
func Jars(ctx context.Context) (string, error) {
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", fmt.Errorf("%s is not installed: %w", program, err)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(pom)
	dir := filepath.Join(cache, "weir", "kafka-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	// The directory gets its final name only when the download is complete.
	partial, err := os.MkdirTemp(filepath.Dir(dir), "kafka-partial-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(partial)
	if err := fetch(ctx, partial); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(partial, "jars"), dir); err != nil {
		// Another process has fetched them at the same time.
		if _, statErr := os.Stat(dir); statErr != nil {
			return "", err
		}
	}
	return dir, nil
}

func fetch(ctx context.Context, dir string) error {
	file := filepath.Join(dir, "pom.xml")
	if err := os.WriteFile(file, pom, 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	mvn := exec.CommandContext(ctx, "mvn", "-B", "-q", "-ntp", "-f", file, "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+filepath.Join(dir, "jars"))
	if output, err := mvn.CombinedOutput(); err != nil {
		return fmt.Errorf("fetch the broker from Maven Central: %w: %s", err, output)
	}
	return nil
}
