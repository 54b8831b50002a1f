package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClipCountsVisibleColumnsAndResetsTheColor(t *testing.T) {
	t.Parallel()
	require.Equal(t, "short", clip("short", 5))
	require.Equal(t, "shor…", clip("shorter", 5))
	require.Equal(t, "●●…", clip("●●●●", 3))
	require.Equal(t, "\x1b[31mred\x1b[0m", clip("\x1b[31mred\x1b[0m", 3))
	require.Equal(t, "\x1b[31mre…\x1b[0m", clip("\x1b[31mredder\x1b[0m", 3))
}

func TestColumnsAlignColoredCells(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"NAME     STATE", "\x1b[32mclicks\x1b[0m   Running", "test"},
		columns([][]string{{"NAME", "STATE"}, {"\x1b[32mclicks\x1b[0m", "Running"}, {"test", ""}}))
}

func TestPipeReceivesPlainLinesAndTheRegionOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &screen{out: &out, size: func() (int, int) { return 80, 24 }}
	s.line("first %s", s.paint(green, "line"))
	s.show([]string{"temporary"})
	s.show([]string{"last"})
	s.line("second line")
	s.keep()
	s.keep()
	_, _ = s.Write([]byte("half"))
	_, _ = s.Write([]byte(" a line\nrest"))
	require.Equal(t, "first line\nsecond line\nlast\n   half a line\n", out.String())
}

func TestTerminalDrawsTheRegionBelowPermanentLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &screen{out: &out, tty: true, size: func() (int, int) { return 80, 24 }}
	s.show([]string{"region"})
	out.Reset()
	s.line("permanent")
	require.Equal(t, "\x1b[1A\r\x1b[Jpermanent\nregion\n", out.String())
}

func TestRegionIsNotHigherThanTheTerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &screen{out: &out, tty: true, size: func() (int, int) { return 80, 5 }}
	s.show([]string{"1", "2", "3", "4", "5"})
	require.Equal(t, "1\n2\n3\n", out.String())
	out.Reset()
	s.show(nil)
	require.Equal(t, "\x1b[3A\r\x1b[J", out.String())
}
