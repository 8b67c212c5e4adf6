package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/hub/gateway"
	"github.com/writ-dev/writ/hub/notify"
	"github.com/writ-dev/writ/hub/store/badgerstore"
)

const least = "trustDomain: d\nadvertise: {enrol: a:1, connect: a:2}\ntrustRoot: r\ngatewayKey: k\n"

func read(t *testing.T, approvals string) (config, error) {
	path := filepath.Join(t.TempDir(), "hub.yaml")
	require.NoError(t, os.WriteFile(path, []byte(least+"approvals: "+approvals+"\n"), 0o600))
	return readConfig(path)
}

func TestGroupsAndHooksThatCannotBeMeantAreRefused(t *testing.T) {
	for says, approvals := range map[string]string{
		"without slashes":        `{groups: [{name: a/b}]}`,
		"group a is there twice": `{groups: [{name: a}, {name: a, after: 1m}]}`,
		"one after the other":    `{groups: [{name: a, after: 5m}, {name: b, after: 5m}]}`,
		"asked after -1s":        `{groups: [{name: a, after: -1s}]}`,
		"there is no group b":    `{groups: [{name: a}], hooks: [{name: h, url: "https://x", groups: [b]}]}`,
		"hook h is there twice":  `{hooks: [{name: h}, {name: h}]}`,
		`unknown field "hook"`:   `{hook: []}`,
	} {
		_, err := read(t, approvals)
		require.ErrorContains(t, err, says)
	}
	for says, approvals := range map[string]string{
		"one of url and urlFile": `{hooks: [{name: h}]}`,
		"no such file":           `{hooks: [{name: h, urlFile: /nowhere}]}`,
		"at least 16 are needed": `{hooks: [{name: h, url: "https://x.org"}]}`,
		"must be https":          `{hooks: [{name: h, url: "http://x.org", format: slack}]}`,
	} {
		c, err := read(t, approvals)
		require.NoError(t, err)
		_, err = c.Approvals.load()
		require.ErrorContains(t, err, says)
	}
}

// What the gateway asks for comes to a real server, signed, and says what is waited for and nothing of the parameters.
func TestAGroupIsToldBySignedWebhook(t *testing.T) {
	secretFile := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secretFile, []byte("a secret of the receiver\n"), 0o600))
	type said struct {
		header http.Header
		body   []byte
	}
	heard := make(chan said, 4)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		heard <- said{r.Header.Clone(), body}
	}))
	defer server.Close()
	c, err := read(t, `{groups: [{name: on-call}, {name: leads, after: 15m}], hooks: [{name: pager, url: "`+server.URL+`", secretFile: "`+secretFile+`"}]}`)
	require.NoError(t, err)
	require.Equal(t, []gateway.Group{{Name: "on-call"}, {Name: "leads", After: 15 * time.Minute}}, c.Approvals.groups())
	hooks, err := c.Approvals.load()
	require.NoError(t, err)
	records, err := badgerstore.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer records.Close()

	target := catalogue.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "checkout"}
	ops, err := notifier{hooks: hooks}.Tell(gateway.Notice{Group: "leads", Escalated: true, At: time.Now(), Record: gateway.Record{
		Request:     gateway.Request{ID: "uid", Namespace: "default", Name: "r1", Cluster: "east", Action: "rollback", Requester: "alice", Parameters: []byte(`{"p":"hidden"}`)},
		OrderDigest: "sha256:d", Order: &bundle.Order{Target: target, Tier: catalogue.Medium, Parameters: []byte(`{"p":"hidden"}`), ValidUntil: time.Now().Add(time.Hour)}}})
	require.NoError(t, err)
	require.NoError(t, records.Commit(t.Context(), ops...))
	go func() { _ = notify.New(records, hooks, slog.New(slog.DiscardHandler), time.Now).Run(t.Context()) }()
	select {
	case got := <-heard:
		require.NoError(t, notify.Verify([]byte("a secret of the receiver"), got.header, got.body, time.Now(), time.Minute))
		var n notice
		require.NoError(t, json.Unmarshal(got.body, &n))
		require.Equal(t, "writ approve default/r1", n.Command)
		require.Equal(t, "ApprovalWanted uid/leads medium", n.Kind+" "+n.ID+" "+n.Tier)
		require.True(t, n.Escalated)
		require.NotContains(t, string(got.body), "hidden")
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
	}
}

// What somebody wants to be told comes in their name, and is waited for until it is taken.
func TestWhatSomebodyTellsIsPassedOn(t *testing.T) {
	heard := make(chan []byte, 4)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		heard <- body
	}))
	defer server.Close()
	c, err := read(t, `{groups: [{name: on-call}, {name: leads, after: 15m}], hooks: [{name: chat, format: slack, url: "`+server.URL+`", groups: [leads]}]}`)
	require.NoError(t, err)
	hooks, err := c.Approvals.load()
	require.NoError(t, err)
	records, err := badgerstore.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer records.Close()
	n := notifier{hooks, c.Approvals.groups(), records}
	for of, want := range map[string][]string{"Group/leads": {"chat"}, "Group/on-call": nil, "Group/chat": nil, "Channel/chat": {"chat"}, "Channel/leads": nil, "Pod/chat": nil} {
		kind, name, _ := strings.Cut(of, "/")
		require.Equal(t, want, n.Hooks(catalogue.Target{Kind: kind, Name: name}), of)
	}
	ops, err := n.Tell(gateway.Notice{Group: "leads", Escalated: true, At: time.Now(), Text: "see <https://evil|this>", Hooks: []string{"chat"},
		Record: gateway.Record{Request: gateway.Request{ID: "uid", Cluster: "east", Requester: "alice", AgentClass: "healer"}}})
	require.NoError(t, err)
	require.NoError(t, records.Commit(t.Context(), ops...))
	waits, err := n.Waiting(t.Context(), "uid", []string{"chat"})
	require.NoError(t, err)
	require.Equal(t, []string{"chat"}, waits)
	go func() { _ = notify.New(records, hooks, slog.New(slog.DiscardHandler), time.Now).Run(t.Context()) }()
	select {
	case got := <-heard:
		var said map[string]string
		require.NoError(t, json.Unmarshal(got, &said))
		require.Equal(t, "Through Writ, the agent class healer asks leads to take over, of cluster east: see &lt;https://evil|this&gt;", said["text"])
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
	}
	require.Eventually(t, func() bool {
		waits, err := n.Waiting(t.Context(), "uid", []string{"chat"})
		return err == nil && len(waits) == 0
	}, 10*time.Second, 10*time.Millisecond)
}

// What docs/approvals.md says to write, the hub reads; and the JSON that it shows is a notice's.
func TestTheDocumentationsHooksAreGood(t *testing.T) {
	page, err := os.ReadFile("../../docs/approvals.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```(yaml|json)\n(.*?)```").FindAllSubmatch(page, -1)
	require.Len(t, blocks, 2)
	path := filepath.Join(t.TempDir(), "hub.yaml")
	require.NoError(t, os.WriteFile(path, append([]byte(least), blocks[0][2]...), 0o600))
	c, err := readConfig(path)
	require.NoError(t, err)
	require.Len(t, c.Approvals.Groups, 2)
	require.Len(t, c.Approvals.Hooks, 2)

	var shown, written map[string]any
	require.NoError(t, json.Unmarshal(blocks[1][2], &shown))
	raw, err := json.Marshal(notice{AgentClass: "a", Reason: "r", DecisionID: "d"})
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &written))
	require.ElementsMatch(t, slices.Collect(maps.Keys(shown)), slices.Collect(maps.Keys(written)))
}
