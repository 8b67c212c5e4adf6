package trust

import (
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/cmd/writ/show"
)

// listed is one role as JSON shows it.
type listed struct {
	Role      trust.Role `json:"role"`
	Threshold int        `json:"threshold"`
	Keys      []key      `json:"keys"`
}

type key struct {
	ID  string `json:"id"`
	PEM string `json:"pem,omitempty"`
	SSH string `json:"ssh,omitempty"` // of a hardware key, which has no PEM
}

// printRoot prints one role, or all where none is named.
func printRoot(out io.Writer, root *trust.Root, role, format string) error {
	if format == show.JSON && role == "" {
		_, err := out.Write(show.Escape(root.Bytes()))
		return err
	}
	roles := trust.Roles()
	if role != "" {
		roles = []trust.Role{trust.Role(role)}
	}
	var all []listed
	for _, r := range roles {
		one, err := list(root, r)
		if err != nil {
			return err
		}
		all = append(all, one)
	}
	switch format {
	case pemFormat:
		return printPEM(out, root, all[0])
	case show.JSON:
		return show.Value(out, all[0])
	}
	return show.Rows(out, format, table(root, all))
}

func printPEM(out io.Writer, root *trust.Root, role listed) error {
	if len(role.Keys) == 0 {
		return fmt.Errorf("the role %s has no keys in version %d of the trust root", role.Role, root.Version())
	}
	for _, k := range role.Keys {
		if k.PEM == "" {
			return fmt.Errorf("the key %s of the role %s is a hardware key, which has no PEM: -o json shows it as SSH has it", k.ID, role.Role)
		}
	}
	for _, k := range role.Keys {
		if _, err := io.WriteString(out, k.PEM); err != nil {
			return err
		}
	}
	return nil
}

func list(root *trust.Root, role trust.Role) (listed, error) {
	one := listed{Role: role, Threshold: root.Threshold(role), Keys: []key{}}
	keys, err := root.Keys(role)
	if err != nil {
		return one, err
	}
	for _, k := range keys {
		id, _ := k.KeyID()
		shown, err := shownKey(k)
		if err != nil {
			return one, err
		}
		shown.ID = id
		one.Keys = append(one.Keys, shown)
	}
	return one, nil
}

func shownKey(k *bundle.Key) (key, error) {
	if k.Hardware() {
		public, err := k.SSH()
		return key{SSH: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))}, err
	}
	text, err := publicPEM(k.Public())
	return key{PEM: text}, err
}

func table(root *trust.Root, all []listed) *metav1.Table {
	rows := show.Columns("Version", "Role", "Threshold", "Key")
	for _, role := range all {
		if len(role.Keys) == 0 {
			show.Row(rows, root.Version(), role.Role, role.Threshold, "- (nobody)")
		}
		for _, k := range role.Keys {
			show.Row(rows, root.Version(), role.Role, fmt.Sprintf("%d of %d", role.Threshold, len(role.Keys)), k.ID)
		}
	}
	return rows
}
