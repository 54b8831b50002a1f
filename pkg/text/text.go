// Package text shortens text for API fields of limited length.
package text

import (
	"strings"
	"unicode/utf8"
)

// ellipsis marks shortened text.
const ellipsis = "..."

// Truncate returns s in at most limit bytes. It never splits a UTF-8 character. Shortened text ends with "..."; if
// limit is too small for that, the text is cut without it. Invalid UTF-8 in s becomes U+FFFD, because the Kubernetes
// API rejects it.
func Truncate(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	end, suffix := limit-len(ellipsis), ellipsis
	if end <= 0 {
		end, suffix = max(limit, 0), ""
	}
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + suffix
}

// OneLine replaces line breaks and other runs of white space by single spaces.
func OneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
