package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/weir-dev/weir/pkg/testkit/bench"
)

// load is a sequence of reviews with the expected answer.
type load struct {
	reviews [][]byte
	allowed bool
}

// answers are the answers to a load.
type answers struct {
	mu sync.Mutex
	// milliseconds are the latencies of correct answers.
	milliseconds bench.Values
	// wrong counts errors and wrong answers by cause.
	wrong map[string]int
}

func (a *answers) add(latency time.Duration, wrong string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if wrong == "" {
		a.milliseconds = append(a.milliseconds, latency.Seconds()*1000)
		return
	}
	if a.wrong == nil {
		a.wrong = map[string]int{}
	}
	a.wrong[wrong]++
}

func (a *answers) wrongCount() (n int) {
	for _, count := range a.wrong {
		n += count
	}
	return n
}

// stream sends reviews at a steady rate and does not wait for answers: the latency of a review includes the time that
// it waits for a connection.
func (l load) stream(ctx context.Context, s *subject, rate int, duration time.Duration) (*answers, error) {
	return l.send(ctx, s, int(float64(rate)*duration.Seconds()), func(i int) time.Duration {
		return time.Duration(i) * time.Second / time.Duration(rate)
	})
}

// burst sends n reviews at once.
func (l load) burst(ctx context.Context, s *subject, n int) (*answers, error) {
	return l.send(ctx, s, n, func(int) time.Duration { return 0 })
}

// send sends n reviews at the given times after the start, and waits for the answers.
func (l load) send(
	ctx context.Context, s *subject, n int, at func(i int) time.Duration,
) (*answers, error) {
	a := &answers{}
	var all sync.WaitGroup
	started := time.Now()
	for i := range n {
		due := started.Add(at(i))
		if err := bench.Sleep(ctx, time.Until(due)); err != nil {
			break
		}
		all.Go(func() {
			wrong := review(ctx, s.client, s.url, l.reviews[i%len(l.reviews)], l.allowed)
			a.add(time.Since(due), wrong)
		})
	}
	all.Wait()
	return a, ctx.Err()
}

// newClient returns a client that trusts the certificate in dir and uses HTTP/2 as the API server does.
func newClient(dir string) (*http.Client, error) {
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true},
	}, nil
}

// review sends a review. It returns the cause of an error or a wrong answer: for a denial its reason.
func review(ctx context.Context, client *http.Client, url string, body []byte, allowed bool) (wrong string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"?timeout=10s", bytes.NewReader(body))
	if err != nil {
		return err.Error()
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return "request failed"
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return "response failed"
	}
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(data, &answer); err != nil || answer.Response == nil {
		return fmt.Sprintf("status %d without an answer", response.StatusCode)
	}
	switch {
	case answer.Response.Allowed == allowed:
		return ""
	case answer.Response.Allowed:
		return "allowed"
	}
	reason := "denied"
	if answer.Response.Result != nil {
		reason, _, _ = strings.Cut(answer.Response.Result.Message, ":")
	}
	return reason
}
