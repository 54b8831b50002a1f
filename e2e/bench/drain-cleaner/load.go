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
	"slices"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
)

// latencies are those of one stream.
type latencies struct {
	took   []time.Duration
	failed int
}

func (l latencies) quantile(q float64) time.Duration {
	if len(l.took) == 0 {
		return 0
	}
	return l.took[min(int(q*float64(len(l.took))), len(l.took)-1)].Round(10 * time.Microsecond)
}

// stream sends reviews at a steady rate, whether the answers come or not: a review that waits for others counts from when it
// should have been sent.
func stream(ctx context.Context, rate int, lasts time.Duration, s *subject, dir string, review []byte) (latencies, error) {
	client, err := newClient(dir)
	if err != nil {
		return latencies{}, err
	}
	defer client.CloseIdleConnections()

	var l latencies
	var mu sync.Mutex
	var all sync.WaitGroup
	pause := time.Second / time.Duration(rate)
	began := time.Now()
	for i := 0; ; i++ {
		due := began.Add(time.Duration(i) * pause)
		if due.Sub(began) >= lasts || ctx.Err() != nil {
			break
		}
		if wait := time.Until(due); wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
			}
		}
		all.Go(func() {
			err := ask(ctx, client, s, review)
			took := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				l.failed++
				return
			}
			l.took = append(l.took, took)
		})
	}
	all.Wait()
	slices.Sort(l.took)
	return l, ctx.Err()
}

// newClient trusts the certificate in dir.
func newClient(dir string) (*http.Client, error) {
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	// HTTP/2 over few connections, as the API server's client has them.
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}, nil
}

func ask(ctx context.Context, client *http.Client, s *subject, review []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"?timeout=10s", bytes.NewReader(review))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &answer); err != nil || answer.Response == nil {
		return fmt.Errorf("no answer: %s: %w", body, err)
	}
	if answer.Response.Allowed != s.allows {
		return fmt.Errorf("allowed: %v", answer.Response.Allowed)
	}
	return nil
}
