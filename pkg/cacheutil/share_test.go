package cacheutil_test

import (
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/cacheutil"
)

func TestEqualStringsAreSharedUnlessTheyAreLong(t *testing.T) {
	t.Parallel()
	type phase string
	var s cacheutil.Strings
	isShared := func(text string) bool {
		a, b := phase(strings.Clone(text)), phase(strings.Clone(text))
		cacheutil.Share(&s, &a, &b)
		require.Equal(t, phase(text), a)
		require.Equal(t, phase(text), b)
		return unsafe.StringData(string(a)) == unsafe.StringData(string(b))
	}
	require.True(t, isShared("Available"))
	require.True(t, isShared(strings.Repeat("x", 128)))
	require.False(t, isShared(strings.Repeat("x", 129)))
}

func TestSharedStringsAreForgottenIfThereAreManyAndKeepTheirValues(t *testing.T) {
	t.Parallel()
	var s cacheutil.Strings
	first := "first"
	cacheutil.Share(&s, &first)
	for i := range 20_000 {
		text := strconv.Itoa(i)
		cacheutil.Share(&s, &text)
		require.Equal(t, strconv.Itoa(i), text)
	}
	again := strings.Clone("first")
	cacheutil.Share(&s, &again)
	require.Equal(t, first, again)
	require.NotSame(t, unsafe.StringData(first), unsafe.StringData(again))
}
