package diff_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/diff"
)

var veil = []byte("of one spoke")

func of(t *testing.T, kind, before, after string) diff.Diff {
	t.Helper()
	d, err := diff.Of([]byte(before), []byte(after), diff.Options{Object: "o", Kind: kind, Veil: veil, At: "2026-11-23T17:00:00Z"})
	require.NoError(t, err)
	require.NoError(t, d.Check(), "what it makes, it accepts")
	return d
}

func TestWhatIsShown(t *testing.T) {
	for name, tc := range map[string]struct {
		before, after string
		want          []diff.Field
	}{
		"nothing": {`{"spec":{"a":1}}`, `{"spec":{"a":1}}`, nil},
		"a value": {`{"spec":{"replicas":3}}`, `{"spec":{"replicas":5}}`, []diff.Field{{Path: "spec.replicas", Before: "3", After: "5"}}},
		"a large number": {`{"a":9007199254740993}`, `{"a":9007199254740992}`,
			[]diff.Field{{Path: "a", Before: "9007199254740993", After: "9007199254740992"}}},
		"added and removed": {`{"a":"x"}`, `{"b":{"c":true}}`, []diff.Field{{Path: "a", Before: `"x"`}, {Path: "b.c", After: "true"}}},
		"of another kind":   {`{"a":[1]}`, `{"a":{"b":1}}`, []diff.Field{{Path: "a", Before: "[1]", After: `{"b":1}`}}},
		"what others write": {`{"status":{"replicas":1},"metadata":{"generation":1,"resourceVersion":"7","managedFields":[]}}`,
			`{"status":{"replicas":2},"metadata":{"generation":2,"resourceVersion":"9"}}`, nil},
		"an annotation's key": {`{"metadata":{}}`, `{"metadata":{"annotations":{"a.b/c":"d"}}}`,
			[]diff.Field{{Path: `metadata.annotations["a.b/c"]`, After: `"d"`}}},
		"elements by their names": {`{"c":[{"name":"a","image":"1"},{"name":"b","image":"1"}]}`,
			`{"c":[{"name":"new","image":"0"},{"name":"a","image":"1"},{"name":"b","image":"2"}]}`,
			[]diff.Field{{Path: `c["b"].image`, Before: `"1"`, After: `"2"`}, {Path: `c["new"].image`, After: `"0"`}, {Path: `c["new"].name`, After: `"new"`}}},
		"in another order": {`{"c":[{"name":"a"},{"name":"b"}]}`, `{"c":[{"name":"b"},{"name":"a"}]}`,
			[]diff.Field{{Path: "c[0].name", Before: `"a"`, After: `"b"`}, {Path: "c[1].name", Before: `"b"`, After: `"a"`}}},
		"elements by their places": {`{"a":[1,2]}`, `{"a":[1,3,4]}`, []diff.Field{{Path: "a[1]", Before: "2", After: "3"}, {Path: "a[2]", After: "4"}}},
		"an empty object":          {`{"a":null}`, `{"a":{}}`, []diff.Field{{Path: "a", After: "{}"}}},
		"the moment of the change": {`{"a":"2026-11-23T16:00:00Z"}`, `{"a":"2026-11-23T17:00:00Z"}`,
			[]diff.Field{{Path: "a", Before: `"2026-11-23T16:00:00Z"`, After: `"\u003cthe time of the change\u003e"`}}},
		"the same second before": {`{"a":"2026-11-23T17:00:00Z"}`, `{}`, []diff.Field{{Path: "a", Before: `"2026-11-23T17:00:00Z"`}}},
		"what would move a cursor": {`{}`, `{"a\u001b":"\u001b[2J\u009b"}`,
			[]diff.Field{{Path: `["a\x1b"]`, After: `"\u001b[2J\u009b"`}}},
		"no object before": {``, `{"spec":{"a":1}}`, []diff.Field{{Path: "spec.a", After: "1"}}},
		"no object after":  {`{"spec":{"a":1}}`, ``, []diff.Field{{Path: "spec.a", Before: "1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			require.ElementsMatch(t, tc.want, of(t, "Deployment", tc.before, tc.after).Changes)
		})
	}
}

func TestAStatusIsShownWhereItIsWhatChanges(t *testing.T) {
	o := diff.Options{Object: "o", Status: true, At: "2026-11-23T17:00:00Z"}
	d, err := diff.Of([]byte(`{"status":{"a":1},"metadata":{"generation":1}}`),
		[]byte(`{"status":{"a":1,"conditions":[{"type":"Approved","at":"2026-11-23T17:00:00Z"}]},"metadata":{"generation":2}}`), o)
	require.NoError(t, err)
	require.Equal(t, []diff.Field{{Path: "status.conditions[0].at", After: `"\u003cthe time of the change\u003e"`},
		{Path: "status.conditions[0].type", After: `"Approved"`}}, d.Changes)
}

func TestWhatIsSecretIsNotShown(t *testing.T) {
	for name, tc := range map[string]struct{ kind, before, after, path string }{
		"a Secret's data":          {"Secret", `{"data":{"password":"aHVudGVyMg=="}}`, `{"data":{"password":"b3RoZXI="}}`, "data.password"},
		"a Secret's text":          {"Secret", `{}`, `{"stringData":{"password":"hunter2"}}`, "stringData.password"},
		"an environment variable":  {"Deployment", `{"env":[{"name":"P","value":"hunter2"}]}`, `{"env":[{"name":"P","value":"other"}]}`, `env["P"].value`},
		"one without a twin":       {"Deployment", `{"env":[{"name":"P","value":"hunter2"},{"name":"P","value":"x"}]}`, `{"env":[{"name":"P","value":"other"},{"name":"P","value":"x"}]}`, `env[0].value`},
		"one that is a whole tree": {"Secret", `{}`, `{"data":{"a":{"b":"hunter2"}}}`, "data.a"},
		"a copy of everything": {"Deployment", `{}`, `{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"hunter2"}}}`,
			`metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]`},
	} {
		t.Run(name, func(t *testing.T) {
			d := of(t, tc.kind, tc.before, tc.after)
			require.Len(t, d.Changes, 1)
			require.Equal(t, tc.path, d.Changes[0].Path)
			for _, leak := range []string{"hunter2", "aHVudGVyMg", "other", "b3RoZXI"} {
				require.NotContains(t, fmt.Sprint(d), leak)
			}
			require.Regexp(t, `^hidden:[0-9a-f]{16}$`, d.Changes[0].After)
			other := of(t, tc.kind, tc.before, strings.NewReplacer("hunter2", "third", "other", "third", "b3RoZXI", "dGhpcmQ").Replace(tc.after))
			require.NotEqual(t, d.Digest(), other.Digest(), "another value, another digest")
		})
	}
	one, err := diff.Of(nil, []byte(`{"data":{"p":"x"}}`), diff.Options{Kind: "Secret", Veil: []byte("a")})
	require.NoError(t, err)
	two, err := diff.Of(nil, []byte(`{"data":{"p":"x"}}`), diff.Options{Kind: "Secret", Veil: []byte("b")})
	require.NoError(t, err)
	require.NotEqual(t, one.Digest(), two.Digest(), "nobody without the key can try values")
}

func TestADiffIsBounded(t *testing.T) {
	object := func(value string) string {
		var all []string
		for i := range 500 {
			all = append(all, fmt.Sprintf(`"k%03d":%q`, i, value))
		}
		return "{" + strings.Join(all, ",") + "}"
	}
	long := strings.Repeat("ä", 4000)
	d := of(t, "ConfigMap", `{}`, object(long))
	require.Len(t, d.Changes, diff.MaxChanges)
	require.Equal(t, 500-diff.MaxChanges, d.Omitted)
	require.Less(t, len(fmt.Sprint(d)), 32<<10)
	hit := strings.Replace(object(long), `"k499":"ä`, `"k499":"ö`, 1)
	require.NotEqual(t, d.Digest(), of(t, "ConfigMap", `{}`, hit).Digest(), "what is not shown counts all the same")
	deep := of(t, "ConfigMap", `{}`, object(long+"x"))
	require.NotEqual(t, d.Digest(), deep.Digest(), "and what is clipped")
}

func TestSomebodyElsesDiff(t *testing.T) {
	good := diff.Diff{Object: "o", Changes: []diff.Field{{Path: "a", After: "1"}}}
	require.NoError(t, good.Check())
	for name, spoil := range map[string]func(*diff.Diff){
		"too many":                 func(d *diff.Diff) { d.Changes = make([]diff.Field, diff.MaxChanges+1) },
		"no path":                  func(d *diff.Diff) { d.Changes[0].Path = "" },
		"a long value":             func(d *diff.Diff) { d.Changes[0].After = strings.Repeat("x", 1000) },
		"a cursor that moves":      func(d *diff.Diff) { d.Changes[0].After = "\x1b[2J" },
		"one in the name":          func(d *diff.Diff) { d.Object = "o\n" },
		"no UTF-8":                 func(d *diff.Diff) { d.Changes[0].Before = "\xff" },
		"omitted without a digest": func(d *diff.Diff) { d.Omitted = 3 },
		"omitted a negative":       func(d *diff.Diff) { d.Omitted, d.Rest = -1, "x" },
		"omitted where there was room": func(d *diff.Diff) {
			d.Omitted, d.Rest = 3, "sha256:0"
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := diff.Diff{Object: "o", Changes: []diff.Field{{Path: "a", After: "1"}}}
			spoil(&d)
			require.Error(t, d.Check())
		})
	}
}

func FuzzADiffCanAlwaysBeShown(f *testing.F) {
	f.Add(`{"a":1}`, `{"a":[{"name":"x"}]}`, "Deployment")
	f.Add(``, `{"data":{"a":"b"}}`, "Secret")
	f.Add(``, `{}`, "Pod")
	f.Add(`{"":[]}`, `null`, "Pod")
	f.Add(`{"env":[{"name":"a","value":"b"}]}`, `{"env":[{"value":{}}]}`, "Pod")
	f.Fuzz(func(t *testing.T, before, after, kind string) {
		d, err := diff.Of([]byte(before), []byte(after), diff.Options{Object: "o", Kind: kind, Veil: veil})
		if err != nil {
			return
		}
		require.NoError(t, d.Check())
		again, err := diff.Of([]byte(before), []byte(after), diff.Options{Object: "o", Kind: kind, Veil: veil})
		require.NoError(t, err)
		require.Equal(t, d.Digest(), again.Digest())
	})
}
