package auditlog_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/auditlog/auditlogtest"
	"github.com/writ-dev/writ/api/bundle"
)

func TestEncodeThenDecodeIsTheSame(t *testing.T) {
	spoke := auditlogtest.NewSpoke(t, "east")
	odd := spoke.Refusal("odd", "")
	odd.Refusal.Detail = "not UTF-8 \xff, <b>, \u2028, \\ufffd and \x1b[31m"
	for _, e := range append(spoke.Life(), odd) {
		raw, err := auditlog.Encode(e)
		require.NoError(t, err)
		back, err := auditlog.Decode(raw)
		require.NoError(t, err, "%s", raw)
		again, err := auditlog.Encode(back)
		require.NoError(t, err)
		require.Equal(t, string(raw), string(again))
		if e.Receipt != nil {
			require.Equal(t, string(e.Receipt.Envelope), string(back.Receipt.Envelope), "the envelope stays whole")
		}
	}
}

func TestDecodeIsStrict(t *testing.T) {
	raw, err := auditlog.Encode(auditlogtest.NewSpoke(t, "east").Refusal("wild", ""))
	require.NoError(t, err)
	for name, change := range map[string][2]string{
		"unknown key":      {`{"v":1,`, `{"v":1,"extra":1,`},
		"duplicate key":    {`"step":"judge"`, `"step":"limit","step":"judge"`},
		"case variant":     {`"detail"`, `"Detail"`},
		"white space":      {`{"v":1,`, `{"v":1, `},
		"trailing data":    {`}}`, `}}{}`},
		"unknown type":     {`"type":"refusal"`, `"type":"pardon"`},
		"other type":       {`"type":"refusal"`, `"type":"intent"`},
		"another version":  {`"v":1`, `"v":2`},
		"another encoding": {`judge`, `\u006audge`},
		"another zone":     {`12:00:00Z`, `13:00:00+01:00`},
		"no request":       {`"name":"wild"`, `"name":""`},
	} {
		t.Run(name, func(t *testing.T) {
			changed := bytes.Replace(raw, []byte(change[0]), []byte(change[1]), 1)
			require.NotEqual(t, raw, changed)
			_, err := auditlog.Decode(changed)
			require.ErrorIs(t, err, auditlog.ErrInvalid)
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	spoke := auditlogtest.NewSpoke(t, "east")
	large := spoke.Refusal("wild", "")
	large.Refusal.Detail = strings.Repeat("x", auditlog.MaxEntry)
	_, err := auditlog.Encode(large)
	require.ErrorIs(t, err, auditlog.ErrTooLarge)

	key := spoke.Enrolment()
	key.Enrolment.ReceiptKey = "none"
	two := spoke.Intent("heal")
	two.Expired = spoke.Expired("heal", "b1").Expired
	other := spoke.Receipt("heal", "b1", bundle.Applied)
	other.Request = auditlogtest.Request("another")
	spaced := spoke.Receipt("heal", "b1", bundle.Applied)
	spaced.Receipt.Envelope = append(spaced.Receipt.Envelope, ' ')
	crossed := spoke.Receipt("heal", "b1", bundle.Applied)
	crossed.Receipt.Envelope = spoke.Outcome("heal", "b1").Outcome.Envelope
	for name, e := range map[string]auditlog.Entry{
		"no key": key, "two parts": two, "another request": other, "not canonical": spaced, "an outcome for a receipt": crossed, "nothing": {},
	} {
		_, err := auditlog.Encode(e)
		require.ErrorIs(t, err, auditlog.ErrInvalid, name)
	}
}
