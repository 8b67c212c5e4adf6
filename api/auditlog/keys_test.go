package auditlog_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/auditlog/auditlogtest"
)

// What was published of trust roots and authorities must follow from what was published before; what a killed hub wrote twice is one.
func TestVerifyFollowsTheKeys(t *testing.T) {
	root, step := auditlogtest.Root, auditlogtest.Step
	published, signing, dropped := step(auditlog.AuthorityPublished, "a", "ab"), step(auditlog.AuthoritySigning, "b", "ab"), step(auditlog.AuthorityDropped, "b", "b")
	next := step(auditlog.AuthorityPublished, "b", "bc")
	for name, one := range map[string]struct {
		entries []auditlog.Entry
		found   []auditlog.Reason
	}{
		"roots, one after the other":    {[]auditlog.Entry{root(4, "d", "c"), root(5, "e", "d"), root(5, "e", "d"), root(6, "f", "e")}, nil},
		"a version is left out":         {[]auditlog.Entry{root(4, "d", "c"), root(6, "f", "e")}, []auditlog.Reason{auditlog.TrustRootUnexplained}},
		"a version is gone back to":     {[]auditlog.Entry{root(4, "d", "c"), root(3, "c", "b")}, []auditlog.Reason{auditlog.TrustRootUnexplained}},
		"another of the same version":   {[]auditlog.Entry{root(4, "d", "c"), root(4, "x", "c")}, []auditlog.Reason{auditlog.TrustRootUnexplained}},
		"another was there before":      {[]auditlog.Entry{root(4, "d", "c"), root(5, "e", "x")}, []auditlog.Reason{auditlog.TrustRootUnexplained}},
		"a rotation, and the next one":  {[]auditlog.Entry{published, published, signing, dropped, dropped, next}, nil},
		"the log begins in a rotation":  {[]auditlog.Entry{signing, dropped}, nil},
		"signing was never published":   {[]auditlog.Entry{published, signing, dropped, signing}, []auditlog.Reason{auditlog.AuthorityUnexplained}},
		"dropped before the new signs":  {[]auditlog.Entry{published, step(auditlog.AuthorityDropped, "a", "a")}, []auditlog.Reason{auditlog.AuthorityUnexplained}},
		"another signs without a step":  {[]auditlog.Entry{published, signing, step(auditlog.AuthorityDropped, "a", "a")}, []auditlog.Reason{auditlog.AuthorityUnexplained}},
		"nobody else signs after it":    {[]auditlog.Entry{published, step(auditlog.AuthoritySigning, "a", "ab")}, []auditlog.Reason{auditlog.AuthorityUnexplained}},
		"published before it was ended": {[]auditlog.Entry{published, signing, next}, []auditlog.Reason{auditlog.AuthorityUnexplained}},
	} {
		t.Run(name, func(t *testing.T) {
			w := auditlogtest.NewWriter(t)
			require.Equal(t, one.found, reasons(t, w, w.Write(one.entries), nil))
		})
	}
}

func TestEncodeRefusesKeysThatSayTooLittle(t *testing.T) {
	root, step := auditlogtest.Root(2, "b", "a"), auditlogtest.Step(auditlog.AuthoritySigning, "b", "ab")
	for _, good := range []auditlog.Entry{root, step} {
		raw, err := auditlog.Encode(good)
		require.NoError(t, err)
		_, err = auditlog.Decode(raw)
		require.NoError(t, err)
		require.NotContains(t, good.Summary(), "%")
	}
	of := root
	of.Cluster = "east"
	for name, bad := range map[string]auditlog.Entry{
		"of one cluster": of, "the first version": auditlogtest.Root(1, "a", "z"), "no digest": auditlogtest.Root(2, "", "a"),
		"nothing before": auditlogtest.Root(2, "b", ""), "no step": auditlogtest.Step("", "b", "ab"), "unknown step": auditlogtest.Step("ended", "b", "ab"),
		"no signer": auditlogtest.Step(auditlog.AuthoritySigning, "", "ab"), "no authorities": auditlogtest.Step(auditlog.AuthoritySigning, "b", ""),
	} {
		_, err := auditlog.Encode(bad)
		require.ErrorIs(t, err, auditlog.ErrInvalid, name)
	}
}
