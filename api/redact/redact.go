// Package redact takes out of text what looks like a secret, before the text leaves a cluster.
//
// It knows forms: what stands after a word such as password or token, bearer tokens, JSON web tokens, keys in PEM, the keys of some
// well-known services, user and password in a URL, long random words, and values that the caller names. It promises that these are
// taken out, and not that nothing secret is left: a password in plain prose is a word like any other. Pure functions.
package redact

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Hidden stands where something was taken out.
const Hidden = "[redacted]"

// leastValue is the shortest named value that is looked for: shorter ones are part of too many words.
const leastValue = 6

// longest is a word of which a part is too random for a name: see random.
const longest = 32

var (
	pem = regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]+-----.*?(-----END [A-Z0-9 ]+-----|$)`)
	// whole are forms of which nothing is left.
	whole = regexp.MustCompile(`\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*|\bA(KIA|SIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\bxox[a-z]-[\w-]{10,}|\bhv[sbr]\.[\w-]{20,}|\bglpat-[\w-]{20,}|\bsk-[\w-]{20,}`)
	// after are forms of which the beginning is left: it says what was there.
	after = []*regexp.Regexp{
		regexp.MustCompile(`(?i)(\b(?:proxy-)?authorization["']?\s*[:=]\s*)[^\r\n]+`),
		regexp.MustCompile(`(?i)(\b(?:set-)?cookie["']?\s*[:=]\s*)[^\r\n]+`),
		regexp.MustCompile(`(?i)(\b(?:bearer|basic)\s+)[\w.~+/=-]{6,}`),
		regexp.MustCompile(`(?i)([\w.-]*(?:passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)[\w.-]*\\?["']?\s*(?:=>|[:=])\s*)(?:\\?"[^"\r\n]*"?|'[^'\r\n]*'?|[^\s,;&]+)`),
		regexp.MustCompile(`(://)[^/\s:@]*:[^/\s@]+@`),
	}
	word = regexp.MustCompile(`[\w+/=-]{32,}`)
)

// Text takes secrets out of a text; values are known ones, such as those of environment variables.
func Text(text string, values []string) string {
	values = slices.Clone(values)
	slices.SortFunc(values, func(a, b string) int { return len(b) - len(a) }) // one that holds another first
	for _, value := range values {
		if len(value) >= leastValue {
			text = strings.ReplaceAll(text, value, Hidden)
		}
	}
	text = pem.ReplaceAllString(text, Hidden)
	text = whole.ReplaceAllString(text, Hidden)
	for i, form := range after {
		with := "${1}" + Hidden
		if i == len(after)-1 {
			with += "@"
		}
		text = form.ReplaceAllString(text, with)
	}
	return word.ReplaceAllStringFunc(text, func(w string) string {
		if random(w) {
			return Hidden
		}
		return w
	})
}

// random reports whether a long word has capitals, small letters and digits, as keys in base64 do; digests and names do not.
func random(w string) bool {
	return len(w) >= longest && strings.ContainsFunc(w, unicode.IsUpper) && strings.ContainsFunc(w, unicode.IsLower) &&
		strings.ContainsFunc(w, unicode.IsDigit)
}
