package app_test

import (
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/admission"
)

func TestReadmeNamesTheImageOfTheManifestsAndTheLimitOfReviews(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	manifest, err := os.ReadFile("../../../../deploy/drain-cleaner/deployment.yaml")
	require.NoError(t, err)
	image := regexp.MustCompile(`(?m)^ +image: (\S+)$`).FindSubmatch(manifest)
	require.NotNil(t, image)
	assert.Contains(t, string(readme), fmt.Sprintf(
		"set image deployment/strimzi-drain-cleaner strimzi-drain-cleaner=%s`", image[1]))
	assert.Contains(t, string(readme), fmt.Sprintf(
		"A replica works on at most %d reviews at the same time", admission.DefaultMaxConcurrent))
}
