package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestWritesWithoutAJustificationAreFound(t *testing.T) {
	t.Parallel()
	const source = `package one

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

type client interface {
	Create(options metav1.CreateOptions) error
}

func write(c client, options metav1.CreateOptions) {
	c.Create(options)
	c.Create(metav1.CreateOptions{})
	// Not through pkg/apply: a review
	// is not an object.
	c.Create(metav1.CreateOptions{})
	c.Create(metav1.CreateOptions{})
}

// fix repairs.
//
// Not through pkg/apply: the object has no field managers.
func fix(c client) {
	c.Create(metav1.CreateOptions{})
}
`
	path := filepath.Join(t.TempDir(), "one.go")
	if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	lines, err := writesIn(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{11, 15}; !slices.Equal(lines, want) {
		t.Errorf("lines %v, want %v", lines, want)
	}
}
