package rehearsal

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/diff"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/spoke/sandbox"
)

// A report is read as from a stranger.
func TestReportsOfPods(t *testing.T) {
	pack := func(raw []byte) string {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, _ = w.Write(raw)
		_ = w.Close()
		return base64.StdEncoding.EncodeToString(out.Bytes())
	}
	good := diff.Diff{Object: "o", Changes: []diff.Field{{Path: "a", After: "1"}}}
	raw, err := encode(report{Diff: &good, Change: "a"})
	require.NoError(t, err)
	said, err := decode(string(raw))
	require.NoError(t, err)
	require.Equal(t, good.Digest(), said.Diff.Digest())
	said, err = decode(pack([]byte(`{"refusal":{"step":"x","reason":"ApprovalExpired","detail":"a\nb"}}`)))
	require.NoError(t, err)
	require.Equal(t, refusal.New("dryRun", refusal.RehearsalRefused, "a b"), said.Refusal, "its own words are not taken for ours")

	for name, message := range map[string]string{
		"nothing":                 "",
		"text":                    "panic: runtime error",
		"no gzip":                 base64.StdEncoding.EncodeToString([]byte("{}")),
		"says nothing":            pack([]byte(`{}`)),
		"says two things":         pack([]byte(`{"tooLarge":true,"refusal":{"step":"a","reason":"b","detail":"c"}}`)),
		"an unknown field":        pack([]byte(`{"tooLarge":true,"apply":true}`)),
		"a field twice":           pack([]byte(`{"tooLarge":true,"tooLarge":true}`)),
		"no UTF-8 for a terminal": pack([]byte(`{"diff":{"object":"o","changes":[{"path":"\u001b[2J"}]}}`)),
		"a bomb":                  pack(bytes.Repeat([]byte{' '}, 2<<20)),
		"longer than a pod says":  strings.Repeat("A", sandbox.MaxMessage+1),
		"not of this size":        pack([]byte(`{"diff":{"object":"o","changes":[` + strings.TrimSuffix(strings.Repeat(`{"path":"a"},`, 65), ",") + `]}}`)),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(message)
			require.Error(t, err)
		})
	}
	large := diff.Diff{Object: "o"}
	for i := range diff.MaxChanges {
		large.Changes = append(large.Changes, diff.Field{Path: fmt.Sprintf("a%d", i), After: fmt.Sprintf("%x", bundleOf(i))})
	}
	raw, err = encode(report{Diff: &large})
	require.NoError(t, err)
	require.LessOrEqual(t, len(raw), sandbox.MaxMessage)
	said, err = decode(string(raw))
	require.NoError(t, err)
	require.True(t, said.TooLarge)
}

// bundleOf are bytes that do not pack.
func bundleOf(i int) []byte {
	raw, _ := json.Marshal(diff.Diff{Object: fmt.Sprint(i)}.Digest())
	return append(raw, []byte(diff.Diff{Object: fmt.Sprint(-i)}.Digest())...)
}
