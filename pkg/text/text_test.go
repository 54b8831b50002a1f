package text_test

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/pkg/text"
)

func TestTruncate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		in    string
		limit int
		want  string
	}{
		"keeps short text":                      {"abc", 3, "abc"},
		"marks shortened text":                  {"abcdefgh", 6, "abc..."},
		"does not split a two-byte character":   {"aé" + "éé", 5, "a..."},
		"keeps a character that ends the limit": {"aéééé", 6, "aé..."},
		"does not split a four-byte character":  {"a😀😀", 7, "a..."},
		"omits the mark if the limit is tiny":   {"abcdef", 2, "ab"},
		"does not split with a tiny limit":      {"éé", 3, "é"},
		"returns nothing for a limit of 0":      {"abc", 0, ""},
		"returns nothing for a negative limit":  {"abc", -1, ""},
		"replaces invalid UTF-8":                {"a\xffb", 10, "a\uFFFDb"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, text.Truncate(test.in, test.limit))
		})
	}
}

func TestOneLineReplacesLineBreaksBySpaces(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a b c", text.OneLine(" a\n\tb\r\nc "))
}

func FuzzTruncateIsValidAndShortEnough(f *testing.F) {
	f.Add("aéb😀", 4)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		if got := text.Truncate(s, limit); len(got) > max(limit, 0) || !utf8.ValidString(got) {
			t.Errorf("Truncate(%q, %d) = %q", s, limit, got)
		}
	})
}
