package identity

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const (
	operatorPath = "/operator/"
	// maxUser bounds the name of a user, in bytes.
	maxUser = 256
)

// Operator is the identity of a person who operates the fleet, by the name that the hub's API server knows them by. Letters, digits,
// "-" and "." stand for themselves, but for a "." at the beginning; every other byte is "_" and two hex digits. So no two names
// become one, and OperatorUser finds the name again.
func Operator(td spiffeid.TrustDomain, user string) (spiffeid.ID, error) {
	if user == "" || len(user) > maxUser {
		return spiffeid.ID{}, fmt.Errorf("the name of an operator has from 1 to %d bytes, not %d", maxUser, len(user))
	}
	return spiffeid.FromPath(td, operatorPath+escape(user))
}

// OperatorUser returns the name of the user that an ID of the trust domain stands for; ok is false for any other ID.
func OperatorUser(td spiffeid.TrustDomain, id spiffeid.ID) (user string, ok bool) {
	segment, ok := strings.CutPrefix(id.Path(), operatorPath)
	if !ok || !id.MemberOf(td) {
		return "", false
	}
	var name []byte
	for rest := segment; rest != ""; {
		b, width := rest[0], 1
		if b == '_' {
			if len(rest) < 3 {
				return "", false
			}
			value, err := strconv.ParseUint(rest[1:3], 16, 8)
			if err != nil {
				return "", false
			}
			b, width = byte(value), 3
		}
		name, rest = append(name, b), rest[width:]
	}
	if again, err := Operator(td, string(name)); err != nil || again != id { // one name, one ID
		return "", false
	}
	return string(name), true
}

func escape(user string) string {
	var out strings.Builder
	for i := range len(user) {
		switch b := user[i]; {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '-', b == '.' && i > 0:
			out.WriteByte(b)
		default:
			fmt.Fprintf(&out, "_%02x", b)
		}
	}
	return out.String()
}
