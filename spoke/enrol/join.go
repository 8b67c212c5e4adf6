package enrol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"

	"go.yaml.in/yaml/v3"

	"github.com/writ-dev/writ/internal/identity"
)

// maxJoin bounds a join file in bytes.
const maxJoin = 128 << 10

// Join is the join file: what `writ cluster register` hands to a new spoke. It holds a secret, the token.
type Join struct {
	Cluster     string `yaml:"cluster"`
	Hub         Hub    `yaml:"hub"`
	Authorities string `yaml:"authorities"` // PEM
	TrustRoot   string `yaml:"trustRoot"`   // JSON
	Token       string `yaml:"token"`

	authorities *identity.Authorities
}

// Hub is where the hub is reached, host:port each.
type Hub struct {
	Enrol   string `yaml:"enrol" json:"enrol"`
	Connect string `yaml:"connect" json:"connect"`
}

// ParseJoin reads a join file. Unknown and duplicate fields are errors that name the line.
func ParseJoin(raw []byte) (*Join, error) {
	if len(raw) > maxJoin {
		return nil, fmt.Errorf("join file: %d bytes are more than the %d allowed", len(raw), maxJoin)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	decoder.KnownFields(true)
	var join Join
	if err := decoder.Decode(&join); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("it is empty")
		}
		return nil, fmt.Errorf("join file: %s", oneLine(err))
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("join file: there is more than one document in it")
	}
	if err := join.check(); err != nil {
		return nil, fmt.Errorf("join file: %w", err)
	}
	return &join, nil
}

// TokenDigest is the SHA-256 of the token, hex: it tells one registration from another.
func (j *Join) TokenDigest() string { return digest([]byte(j.Token)) }

// YAML is the file as ParseJoin reads it.
func (j Join) YAML() ([]byte, error) { return yaml.Marshal(j) }

func (j *Join) check() (err error) {
	if j.authorities, err = identity.ParseAuthorities([]byte(j.Authorities)); err != nil {
		return err
	}
	if _, err := identity.Cluster(j.authorities.TrustDomain(), j.Cluster); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	for field, address := range map[string]string{"hub.enrol": j.Hub.Enrol, "hub.connect": j.Hub.Connect} {
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			return fmt.Errorf("%s: %q is not host:port", field, address)
		}
	}
	if !json.Valid([]byte(j.TrustRoot)) {
		return errors.New("trustRoot: not JSON")
	}
	if j.Token == "" {
		return errors.New("token: missing")
	}
	return nil
}

// oneLine flattens the YAML library's lists of errors.
func oneLine(err error) string {
	var list *yaml.TypeError
	if errors.As(err, &list) && len(list.Errors) > 0 {
		return list.Errors[0]
	}
	return err.Error()
}
