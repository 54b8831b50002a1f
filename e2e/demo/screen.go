package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/term"
)

// Text styles as SGR codes.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// screen prints permanent lines and, on a terminal, a live region below them that is redrawn after changes. On a
// pipe the region is printed once, by keep.
type screen struct {
	out   io.Writer
	tty   bool
	color bool
	size  func() (width, height int)

	mu      sync.Mutex
	region  []string
	drawn   int
	partial strings.Builder
}

func newScreen(out *os.File) *screen {
	s := &screen{out: out}
	s.tty = term.IsTerminal(int(out.Fd())) && os.Getenv("TERM") != "dumb"
	s.color = s.tty && os.Getenv("NO_COLOR") == ""
	s.size = func() (int, int) {
		width, height, err := term.GetSize(int(out.Fd()))
		if err != nil || width < 20 || height < 5 {
			return 80, 24
		}
		return width, height
	}
	return s
}

// paint styles text if colors are enabled.
func (s *screen) paint(code, text string) string {
	if !s.color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// line prints a permanent line.
func (s *screen) line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(fmt.Sprintf(format, args...))
}

// Write prints complete lines, so that a screen can receive the progress output of other code.
func (s *screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partial.Write(text)
	lines := strings.Split(s.partial.String(), "\n")
	s.partial.Reset()
	s.partial.WriteString(lines[len(lines)-1])
	for _, line := range lines[:len(lines)-1] {
		s.put("   " + s.paint(dim, strings.TrimRight(line, "\r")))
	}
	return len(text), nil
}

// show replaces the region.
func (s *screen) show(lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Equal(s.region, lines) {
		return
	}
	s.region = lines
	if s.tty {
		var b strings.Builder
		s.draw(&b)
		_, _ = io.WriteString(s.out, b.String())
	}
}

// keep turns the region into permanent lines.
func (s *screen) keep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := s.region
	s.region = nil
	for _, line := range lines {
		s.put(line)
	}
}

// put prints a permanent line above the region. It writes once, to avoid flicker and a partly drawn region after a
// crash.
func (s *screen) put(line string) {
	var b strings.Builder
	if s.tty {
		s.erase(&b)
		b.WriteString(line + "\n")
		s.draw(&b)
	} else {
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	_, _ = io.WriteString(s.out, b.String())
}

func (s *screen) erase(b *strings.Builder) {
	if s.drawn > 0 {
		fmt.Fprintf(b, "\x1b[%dA", s.drawn)
	}
	b.WriteString("\r\x1b[J")
	s.drawn = 0
}

// draw limits the region to the height of the terminal, because lines that have scrolled away cannot be redrawn.
func (s *screen) draw(b *strings.Builder) {
	if s.drawn > 0 {
		s.erase(b)
	}
	width, height := s.size()
	for _, line := range s.region[:min(len(s.region), height-2)] {
		b.WriteString(clip(line, width-1) + "\n")
		s.drawn++
	}
}

var escape = regexp.MustCompile("\x1b\\[[0-9;]*m")

// width returns the number of columns of a text without its escape sequences.
func width(text string) int { return utf8.RuneCountInString(escape.ReplaceAllString(text, "")) }

// clip cuts a text to a number of columns and resets its style.
func clip(text string, columns int) string {
	if width(text) <= columns {
		return text
	}
	var b strings.Builder
	for left := columns - 1; left > 0; {
		if code := escape.FindStringIndex(text); code != nil && code[0] == 0 {
			b.WriteString(text[:code[1]])
			text = text[code[1]:]
			continue
		}
		_, size := utf8.DecodeRuneInString(text)
		b.WriteString(text[:size])
		text = text[size:]
		left--
	}
	b.WriteString("…")
	if strings.Contains(b.String(), "\x1b") {
		b.WriteString("\x1b[0m")
	}
	return b.String()
}

// columns aligns the cells of rows in the style of kubectl.
func columns(rows [][]string) []string {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], width(cell))
		}
	}
	lines := make([]string, len(rows))
	for n, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-width(cell)+3))
			}
		}
		lines[n] = strings.TrimRight(b.String(), " ")
	}
	return lines
}
