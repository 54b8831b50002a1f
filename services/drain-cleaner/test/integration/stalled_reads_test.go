package integration_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-dev/weir/pkg/admission"
	"github.com/weir-dev/weir/pkg/testkit"

	draincleaner "github.com/weir-dev/weir/services/drain-cleaner/internal/app"
	"github.com/weir-dev/weir/services/drain-cleaner/test/testenv"
)

// stalledReads is a transport in which reads of single pods do not return until release is closed. It counts them.
type stalledReads struct {
	http.RoundTripper
	release    chan struct{}
	mu         sync.Mutex
	reads, max int
}

func (s *stalledReads) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads += n
	s.max = max(s.max, s.reads)
}

func (s *stalledReads) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/pods/") {
		s.add(1)
		defer s.add(-1)
		select {
		case <-s.release:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return s.RoundTripper.RoundTrip(r)
}

// The API server answers no reads of pods, and more reviews than may run at the same time wait for them.
func TestReviewsThatWaitForReadsDenyNoPodsOfNamespacesWithoutKafka(t *testing.T) {
	t.Parallel()
	env := testenv.Install(t)
	withKafka, withoutKafka := env.Namespace(t), env.Namespace(t)
	kafka := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "my-cluster-kafka-0", Labels: testenv.StrimziLabels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "kafka", Image: "kafka"}}},
	}
	_, err := env.Client().CoreV1().Pods(withKafka).Create(t.Context(), kafka, metav1.CreateOptions{})
	require.NoError(t, err)

	reads := &stalledReads{release: make(chan struct{})}
	stalled := env.WithTransport(func(rt http.RoundTripper) http.RoundTripper {
		reads.RoundTripper = rt
		return reads
	})
	address, stop, err := stalled.StartProcess(context.Background(), "stalled", func(c *draincleaner.Config) {
		c.ReviewDeadline = 5 * time.Second
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, stop()) })
	require.NoError(t, testenv.WaitForCertificate(t.Context(), address))
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true,
	}}
	defer client.CloseIdleConnections()
	testkit.Eventually(t, testenv.Timeout, func(ctx context.Context) error {
		response, err := review(ctx, client, address, withoutKafka, "web")
		if err == nil && !response.Allowed {
			err = errors.New("the caches are not filled: " + response.Result.Message)
		}
		return err
	})

	const waiting, immediate = 2 * admission.DefaultMaxConcurrent, 100
	var all sync.WaitGroup
	var mu sync.Mutex
	answers := map[string]int{}
	send := func(namespace string) {
		answer := "allowed"
		response, err := review(t.Context(), client, address, namespace, "web")
		switch {
		case err != nil:
			answer = err.Error()
		case !response.Allowed && response.Result.Code == http.StatusTooManyRequests:
			answer = "denied"
		case !response.Allowed:
			answer = response.Result.Message
		}
		mu.Lock()
		defer mu.Unlock()
		answers[answer]++
	}
	for range waiting {
		all.Go(func() { send(withKafka) })
	}
	for range immediate {
		all.Go(func() { send(withoutKafka) })
	}
	all.Wait()
	assert.Equal(t, immediate, answers["allowed"], "%v", answers)
	assert.Equal(t, waiting, answers["denied"], "%v", answers)
	assert.Equal(t, admission.DefaultMaxConcurrent, reads.max, "reads at the same time")

	close(reads.release)
	response, err := review(t.Context(), client, address, withKafka, "web")
	require.NoError(t, err)
	assert.True(t, response.Allowed, "reads are answered again")
}

// review sends the review of an eviction to a replica.
func review(
	ctx context.Context, client *http.Client, address, namespace, pod string,
) (*admissionv1.AdmissionResponse, error) {
	body := fmt.Sprintf(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u",`+
		`"namespace":%[1]q,"name":%[2]q,"operation":"CREATE","subResource":"eviction","object":{"kind":"Eviction",`+
		`"apiVersion":"policy/v1","metadata":{"namespace":%[1]q,"name":%[2]q}}}}`, namespace, pod)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+"/drainer",
		bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer admissionv1.AdmissionReview
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("status %s: %w", response.Status, err)
	}
	return answer.Response, nil
}
