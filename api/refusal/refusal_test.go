package refusal_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/refusal"
)

// Whatever somebody else said becomes one line of bounded length.
func TestOneLine(t *testing.T) {
	require.Equal(t, "refused at apply (ApplyRefused): the API server said: no, and why",
		refusal.New("apply", refusal.ApplyRefused, "the API server said: %s", "no,\n\tand\r\nwhy\n").String())
	long := refusal.OneLine(strings.Repeat("ä", 10_000))
	require.LessOrEqual(t, len(long), 1100)
	require.True(t, utf8.ValidString(long))
}
