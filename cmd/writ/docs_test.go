package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/template"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/site"
	"github.com/writ-dev/writ/hub/rotation"
	"github.com/writ-dev/writ/hub/store/badgerstore"
	"github.com/writ-dev/writ/internal/door"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/spoke/localpolicy"
)

var (
	consoleBlock = regexp.MustCompile("(?s)```console\n(.*?)```")
	yamlBlock    = regexp.MustCompile("(?s)```yaml\n(.*?)```")
)

// Every command of docs/policies.md is run where the repository is, and says what the page says that it says.
func TestTheCommandsOfThePolicyPage(t *testing.T) {
	t.Chdir("../..")
	page, err := os.ReadFile("docs/policies.md")
	require.NoError(t, err)
	ran := 0
	for _, block := range consoleBlock.FindAllSubmatch(page, -1) {
		for _, command := range strings.Split(string(block[1]), "$ writ ")[1:] {
			line, said, _ := strings.Cut(command, "\n")
			t.Run(line, func(t *testing.T) {
				var out bytes.Buffer
				root := newRoot()
				root.SetArgs(strings.Fields(line))
				root.SetOut(&out)
				require.NoError(t, root.ExecuteContext(t.Context()))
				require.NotEmpty(t, said)
				for _, wanted := range strings.Split(strings.TrimSpace(said), "\n") {
					require.Contains(t, out.String(), wanted+"\n")
				}
			})
			ran++
		}
	}
	require.Equal(t, 2, ran)
}

// Every command of docs/templates.md is run where the repository is, and says what the page says that it says; the template that it
// shows is the example, and the values that it shows allow that very template.
func TestTheTemplatesPage(t *testing.T) {
	t.Chdir("../..")
	page, err := os.ReadFile("docs/templates.md")
	require.NoError(t, err)
	for _, block := range consoleBlock.FindAllSubmatch(page, -1) {
		for _, command := range strings.Split(string(block[1]), "$ writ ")[1:] {
			line, said, _ := strings.Cut(command, "\n")
			var out bytes.Buffer
			root := newRoot()
			root.SetArgs(strings.Fields(line))
			root.SetOut(&out)
			require.NoError(t, root.ExecuteContext(t.Context()), line)
			for _, wanted := range strings.Split(strings.TrimSpace(said), "\n") {
				require.Contains(t, strings.Join(strings.Fields(out.String()), " "), strings.Join(strings.Fields(wanted), " "), line)
			}
		}
	}
	examples, err := site.Read([]string{"examples/templates"})
	require.NoError(t, err)
	_, err = site.Usable(examples)
	require.NoError(t, err)
	digests := map[string]string{}
	for _, one := range examples {
		digests[one.Definition.Name] = one.Definition.Digest()
	}
	blocks := yamlBlock.FindAllSubmatch(page, -1)
	require.Len(t, blocks, 2)
	var declared v1alpha1.ActionTemplate
	require.NoError(t, yaml.UnmarshalStrict(blocks[0][1], &declared))
	definition, err := declared.Definition()
	require.NoError(t, err)
	var values struct {
		Actions struct {
			Namespaces []string              `json:"namespaces"`
			Templates  []template.Definition `json:"templates"`
		} `json:"actions"`
		LocalPolicy localpolicy.Rules `json:"localPolicy"`
	}
	require.NoError(t, yaml.UnmarshalStrict(blocks[1][1], &values))
	require.Equal(t, definition.Digest(), values.Actions.Templates[0].Digest())
	require.Equal(t, digests["site-set-log-level"], definition.Digest())
	values.LocalPolicy.Templates = values.Actions.Templates
	raw, err := yaml.Marshal(values.LocalPolicy)
	require.NoError(t, err)
	_, err = localpolicy.Parse(raw)
	require.NoError(t, err)
}

// Every policy of the page compiles, and means something.
func TestThePoliciesOfThePolicyPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/policies.md")
	require.NoError(t, err)
	found := 0
	for _, block := range yamlBlock.FindAllSubmatch(page, -1) {
		if !bytes.Contains(block[1], []byte("kind: ActionPolicy")) {
			continue
		}
		var p v1alpha1.ActionPolicy
		require.NoError(t, yaml.UnmarshalStrict(block[1], &p))
		set, err := policy.Compile([]v1alpha1.ActionPolicy{p})
		require.NoError(t, err)
		require.Empty(t, set.Problems())
		found++
	}
	require.Equal(t, 1, found)
}

// The cluster's own policy of the page is one that a spoke takes.
func TestTheClustersOwnPolicyOfThePolicyPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/policies.md")
	require.NoError(t, err)
	found := 0
	for _, block := range yamlBlock.FindAllSubmatch(page, -1) {
		if bytes.HasPrefix(block[1], []byte("rules:")) {
			_, err := localpolicy.Parse(block[1])
			require.NoError(t, err)
			found++
		}
	}
	require.Equal(t, 1, found)
}

// Every command of docs/rotation.md is typed, in order, against the part of a hub that rotates; and says what the page says.
func TestTheCommandsOfTheRotationPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/rotation.md")
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	for _, name := range []string{"sam", "kim", "ana", "sam-2"} {
		public, _, err := ed25519.GenerateKey(nil)
		require.NoError(t, err)
		key, err := ssh.NewPublicKey(public)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(name+".pub", ssh.MarshalAuthorizedKey(key), 0o600))
	}
	data, err := os.MkdirTemp("", "writ") //nolint:usetesting // short: a socket is in it
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(data) })
	ran, running := 0, false
	for _, block := range consoleBlock.FindAllSubmatch(page, -1) {
		for _, command := range strings.Split(string(block[1]), "$ writ ")[1:] {
			line, said, _ := strings.Cut(command, "\n")
			if strings.Contains(line, "--data-dir") && !running {
				require.NoError(t, os.Rename("gateway-2.key", "trust/gateway.key"), "as the page says")
				turn(t, data)
				running = true
			}
			var out bytes.Buffer
			root := newRoot()
			root.SetArgs(strings.Fields(strings.ReplaceAll(line, "/var/lib/writ-hub", data)))
			root.SetOut(&out)
			require.NoError(t, root.ExecuteContext(t.Context()), line)
			for _, wanted := range strings.Split(strings.TrimSpace(said), "\n") {
				require.Contains(t, out.String(), wanted, line)
			}
			ran++
		}
	}
	require.Equal(t, 13, ran)
}

// nobody is a fleet without clusters.
type nobody struct{}

func (nobody) Live(context.Context) ([]string, error) { return nil, nil }
func (nobody) Connected() []string                    { return nil }
func (nobody) Announce()                              {}

// turn runs the part of a hub that rotates, with the door of a data directory.
func turn(t *testing.T, data string) {
	quiet := slog.New(slog.DiscardHandler)
	records, err := badgerstore.Open(filepath.Join(data, "store"), quiet)
	require.NoError(t, err)
	ca, err := identity.LoadCA(filepath.Join(data, "ca"), spiffeid.RequireTrustDomainFromString("test.writ.dev"), time.Now())
	require.NoError(t, err)
	svid, authorities, err := identity.RenewHub(ca, time.Now)(t.Context())
	require.NoError(t, err)
	pinned, err := os.ReadFile("trust/root.json")
	require.NoError(t, err)
	r, err := rotation.Open(t.Context(), rotation.Parts{Store: records, Fleet: nobody{}, Keys: rotation.KeyFile("trust/gateway.key"), CA: ca,
		Source: identity.NewSource(svid, authorities), Renew: identity.RenewHub(ca, time.Now), Record: func(context.Context, auditlog.Entry) error { return nil }, Log: quiet, Now: time.Now}, pinned)
	require.NoError(t, err)
	mux := http.NewServeMux()
	r.Handle(mux)
	serve, err := door.Listen(t.Context(), data, mux)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { _ = serve(ctx) })
	group.Go(func() { _ = r.Run(ctx) })
	t.Cleanup(func() { stop(); group.Wait(); _ = records.Close() })
}
