package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
)

func TestMain(m *testing.M) {
	testscript.Main(world{m}, map[string]func(){"writ": func() { os.Exit(run()) }})
}

// TestScripts runs the commands on a real API server with the CRDs, admission policies and roles of deploy/hub.
func TestScripts(t *testing.T) {
	hub := prepared(t)
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Setup: hub.setUp, Cmds: hub.commands(), RequireExplicitExec: true})
}

// TestWithoutAHub runs the commands on an API server that knows nothing of Writ.
func TestWithoutAHub(t *testing.T) {
	c := started(t, "bare")
	testscript.Run(t, testscript.Params{Dir: "testdata/bare", RequireExplicitExec: true, Setup: func(e *testscript.Env) error {
		e.Setenv("KUBECONFIG", c.Kubeconfig())
		e.Setenv("GORACE", endAtOnce)
		return nil
	}})
}

func TestStatus(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		code int
		line string
	}{
		"help":             {[]string{"cluster"}, 0, ""},
		"version":          {[]string{"version"}, 0, ""},
		"unknown command":  {[]string{"bogus"}, misused, `writ has no command "bogus" (see writ --help)`},
		"a slip":           {[]string{"requst"}, misused, `writ has no command "requst"; did you mean request? (see writ --help)`},
		"unknown below":    {[]string{"cluster", "lst"}, misused, `writ cluster has no command "lst"; did you mean get or list? (see writ cluster --help)`},
		"unknown flag":     {[]string{"cluster", "list", "--bogus"}, misused, `unknown flag: --bogus (see writ cluster list --help)`},
		"argument missing": {[]string{"cluster", "get"}, misused, `accepts 1 arg(s), received 0 (see writ cluster get --help)`},
		"output unknown":   {[]string{"action", "list", "-o", "xml"}, misused, `output "xml" is none of table, json, mcp (see writ action list --help)`},
		"flag missing":     {[]string{"request", "create"}, misused, `--cluster is missing (see writ request create --help)`},
		"no such action":   {[]string{"action", "describe", "exec"}, failed, `the catalogue has no action "exec": see writ action list`},
		"no such context":  {[]string{"cluster", "list", "--kubeconfig", "/dev/null", "--context", "x"}, failed, `kubeconfig: context "x" does not exist`},
	} {
		t.Run(name, func(t *testing.T) {
			root, out := newRoot(), &bytes.Buffer{}
			root.SetArgs(tc.args)
			root.SetOut(out)
			root.SetErr(out)
			var says bytes.Buffer
			require.Equal(t, tc.code, status(t.Context(), root.ExecuteContext(t.Context()), &says), says.String())
			if tc.line != "" {
				require.Equal(t, "writ: "+tc.line+"\n", says.String())
			}
		})
	}
}

// TestWatchingEndsCleanly breaks off a watch of all requests once it has told of a change.
func TestWatchingEndsCleanly(t *testing.T) {
	hub := prepared(t)
	request := &v1alpha1.ActionRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "watched"}, Spec: v1alpha1.ActionRequestSpec{
		Cluster: "east", Action: "rollout-restart", Target: v1alpha1.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "checkout"}}}
	ctx, interrupt := context.WithTimeout(t.Context(), 30*time.Second)
	defer interrupt()
	heard := &told{when: map[string]func(){
		"Pending": func() {
			patch := client.RawPatch(types.MergePatchType, []byte(`{"status":{"phase":"Dispatched"}}`))
			require.NoError(t, hub.admin.Status().Patch(ctx, request, patch))
		},
		"Dispatched": interrupt,
	}}
	require.NoError(t, hub.admin.Create(ctx, request))
	root := newRoot()
	root.SetArgs([]string{"request", "get", "-A", "-w", "--kubeconfig", hub.Kubeconfig()})
	root.SetOut(heard)
	var says bytes.Buffer
	require.Equal(t, interrupted, status(ctx, root.ExecuteContext(ctx), &says))
	require.Equal(t, "writ: interrupted\n", says.String())
	require.Contains(t, heard.String(), "default/watched")
	require.ErrorIs(t, ctx.Err(), context.Canceled)
}

// told is an output that does something when it is told a word.
type told struct {
	bytes.Buffer
	when map[string]func()
}

func (o *told) Write(text []byte) (int, error) {
	for word, do := range o.when {
		if bytes.Contains(text, []byte(word)) && bytes.Contains(text, []byte("watched")) {
			do()
		}
	}
	return o.Buffer.Write(text)
}

func TestAnErrorIsOneSafeLine(t *testing.T) {
	var says bytes.Buffer
	require.Equal(t, failed, status(t.Context(), errors.New("a\x1b[2J\nb"), &says))
	require.Equal(t, "writ: a\ufffd[2J\ufffdb\n", says.String())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	says.Reset()
	require.Equal(t, interrupted, status(ctx, ctx.Err(), &says))
	require.Equal(t, "writ: interrupted\n", says.String())
}
