// Package drills hands an attacker one key after another of a whole Writ, and measures what each reaches: what of all that is tried
// for real, at the workload cluster's API server, at Vault and at the hub, is let through.
//
// What is let through must be exactly what is said here beforehand; anything more is an escape. The table in docs/threat-model.md is
// made of the run (WRIT_UPDATE=1 go test ./e2e/drills).
package drills

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/e2e/fleet"
)

var bin string

func TestMain(m *testing.M) { os.Exit(fleet.Main(m, func(dir string) { bin = dir })) }

// drill is one theft.
type drill struct {
	stolen string
	// try does all that a thief could with it, and returns what was let through.
	try func(*thief, *testing.T) []string
	// gets is what must be let through, and no more.
	gets []string
}

// scaled is what the credential of an order to scale a Deployment reaches.
var scaled = []string{"API server: read the scale of the Deployment checkout in allowed", "API server: scale the Deployment checkout in allowed"}

// Each was seen to fail by one line: (a) Vault's judge not asking for the client's certificate; (a) in place, a tier taken from the order
// (g too); (b) and the data folder, bundles not burnt, or roles that pool; (c) a Role without the object's name; (d) a token written
// down as it is; (e) the account's token not verified, and a used token let in again; (f) and (g), roles that pool.
var drills = []drill{
	{"(a) the gateway's key", (*thief).gatewayKey, nil},
	{"(a) the gateway's key and the hub's place: spokes pull what it signs", (*thief).gatewayKeyInPlace, scaled},
	{"(b) a spoke's SVID and its key", (*thief).svid, []string{"hub: connect as cluster east"}},
	{"(c) an action's credential while it lives", (*thief).credential, scaled},
	{"(d) the hub's database files", (*thief).database, nil},
	{"(d) the hub's whole data folder, with the CA's key", (*thief).dataFolder, []string{"hub: connect as cluster east"}},
	{"(e) a join token that is not used yet", (*thief).joinToken, nil},
	{"(e) a join token that is used", (*thief).usedJoinToken, nil},
	{"(f) one approver's key", (*thief).approverKey, nil},
	{"(g) the gateway's key and one approver's, and the hub's place", (*thief).gatewayAndApprover, scaled},
}

func TestDrills(t *testing.T) {
	who := newThief(t)
	escapes, table := 0, "| stolen | what was let through, of all that was tried |\n| --- | --- |\n"
	for _, d := range drills {
		var got []string
		before := escapes
		if !t.Run(d.stolen, func(t *testing.T) {
			who.t = t
			got = d.try(who, t)
			slices.Sort(got)
			got = slices.Compact(got)
			for _, one := range got {
				if !slices.Contains(d.gets, one) {
					escapes++
				}
			}
			require.ElementsMatch(t, d.gets, got)
		}) {
			escapes = max(escapes, before+1) // what failed some other way is no less of one
		}
		says := "nothing"
		if len(got) > 0 {
			says = strings.Join(got, "; ")
		}
		fmt.Printf("%s: %s\n", d.stolen, says)
		table += fmt.Sprintf("| %s | %s |\n", d.stolen, says)
	}
	fmt.Printf("%d escapes\n", escapes)
	if !t.Failed() {
		requireTable(t, table)
	}
}

const (
	page  = "../../docs/threat-model.md"
	begin = "<!-- made by make drills: do not edit -->\n"
	end   = "<!-- end of what make drills made -->\n"
)

// requireTable holds the page to what was measured, or rewrites it.
func requireTable(t *testing.T, table string) {
	t.Helper()
	raw, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(raw), begin)
	require.True(t, ok)
	was, after, ok := strings.Cut(rest, end)
	require.True(t, ok)
	if os.Getenv("WRIT_UPDATE") != "" {
		require.NoError(t, os.WriteFile(page, []byte(before+begin+table+end+after), 0o600))
		return
	}
	require.Equal(t, table, was, "docs/threat-model.md is not what was measured: WRIT_UPDATE=1 make drills")
}
