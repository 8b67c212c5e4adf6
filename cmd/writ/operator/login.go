package operator

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/writ-dev/writ/internal/identity"
)

// The files of a login.
const (
	svidFile = "svid.pem"
	hubFile  = "hub.json"
)

// Login is who somebody is to a hub, for an hour at most: the SVID with its key, and whom to take for that hub.
type Login struct {
	User        string
	Connect     string // where the hub is
	SVID        *identity.SVID
	Authorities *identity.Authorities
}

// hubOf is what is kept of the hub beside the SVID.
type hubOf struct {
	TrustDomain string `json:"trustDomain"`
	Connect     string `json:"connect"`
	Authorities string `json:"authorities"` // PEM
}

// ErrNone is that nobody has logged in here.
var ErrNone = errors.New("no operator has logged in here: writ operator login")

// folder is where the login of whoever runs the program is.
func folder() (string, error) {
	config, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("where to keep the login: %w", err)
	}
	return filepath.Join(config, "writ", "operator"), nil
}

// bind holds an SVID to the hub that it is for.
func bind(hub hubOf, svid *identity.SVID) (*Login, error) {
	authorities, err := identity.ParseAuthorities([]byte(hub.Authorities))
	if err != nil {
		return nil, err
	}
	td, err := spiffeid.TrustDomainFromString(hub.TrustDomain)
	if err != nil {
		return nil, err
	}
	user, ok := identity.OperatorUser(td, svid.ID)
	if !ok || authorities.TrustDomain() != td || !authorities.Vouch(svid.Leaf()) {
		return nil, fmt.Errorf("%s is no operator of %s by the authority that the hub publishes", svid.ID, td)
	}
	return &Login{User: user, Connect: hub.Connect, SVID: svid, Authorities: authorities}, nil
}

// save keeps a login in place of the one before, for its owner's eyes alone.
func save(hub hubOf, svid *identity.SVID) (dir string, err error) {
	if dir, err = folder(); err != nil {
		return "", err
	}
	raw, err := json.Marshal(hub)
	if err != nil {
		return "", err
	}
	if err := identity.WriteFile(filepath.Join(dir, hubFile), raw); err != nil {
		return "", err
	}
	return dir, svid.Save(filepath.Join(dir, svidFile))
}

// Load reads the login. One that has ended is returned too; see Current.
func Load() (*Login, error) {
	dir, err := folder()
	if err != nil {
		return nil, err
	}
	svid, err := identity.LoadSVID(filepath.Join(dir, svidFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNone
	}
	raw, readErr := os.ReadFile(filepath.Join(dir, hubFile))
	var hub hubOf
	if err = errors.Join(err, readErr); err == nil {
		err = json.Unmarshal(raw, &hub)
	}
	var login *Login
	if err == nil {
		login, err = bind(hub, svid)
	}
	if err != nil {
		return nil, fmt.Errorf("the login in %s is of no use (writ operator login makes another): %w", dir, err)
	}
	return login, nil
}

// Current is Load where the SVID has not ended.
func Current(now time.Time) (*Login, error) {
	login, err := Load()
	if err != nil {
		return nil, err
	}
	if end := login.SVID.Leaf().NotAfter; !now.Before(end) {
		return nil, fmt.Errorf("the SVID of %s has ended at %s: writ operator login", login.User, end.UTC().Format(time.RFC3339))
	}
	return login, nil
}
