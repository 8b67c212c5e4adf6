package trusttest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/big"
	"net"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// userPresent is the flag that says that somebody touched the authenticator (CTAP 2, §6.1, "UP").
const userPresent = 0x01

// Authenticator is a FIDO authenticator in software: what it signs is what a hardware key signs through an ssh-agent (OpenSSH
// PROTOCOL.u2f). Its fields are there to be changed.
type Authenticator struct {
	Public      ssh.PublicKey
	Application string // that it hashes; the public key keeps the one that it was made for
	Flags       byte
	Counter     uint32 // of the last signature
	Rest        func(flags byte, counter uint32) []byte
	sign        func(signed []byte) []byte
}

// NewAuthenticator makes one with a key of the type given, for an application.
func NewAuthenticator(t testing.TB, keyType, application string) *Authenticator {
	t.Helper()
	a := &Authenticator{Application: application, Flags: userPresent, Counter: 7, Rest: rest}
	var wire []byte
	switch keyType {
	case ssh.KeyAlgoSKED25519:
		public, private, err := ed25519.GenerateKey(rand.Reader)
		require.NoError(t, err)
		wire = ssh.Marshal(struct{ Type, Key, Application string }{keyType, string(public), application})
		a.sign = func(signed []byte) []byte { return ed25519.Sign(private, signed) }
	case ssh.KeyAlgoSKECDSA256:
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		point, err := private.PublicKey.Bytes()
		require.NoError(t, err)
		wire = ssh.Marshal(struct{ Type, Curve, Key, Application string }{keyType, "nistp256", string(point), application})
		a.sign = func(signed []byte) []byte {
			digest := sha256.Sum256(signed)
			r, s, err := ecdsa.Sign(rand.Reader, private, digest[:])
			require.NoError(t, err)
			return ssh.Marshal(struct{ R, S *big.Int }{r, s})
		}
	default:
		t.Fatalf("no authenticator has keys of type %s", keyType)
	}
	var err error
	a.Public, err = ssh.ParsePublicKey(wire)
	require.NoError(t, err)
	return a
}

func rest(flags byte, counter uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{flags}, counter)
}

// Sign signs as the authenticator does: the digest of the application, the flags, the counter, and the digest of the data.
func (a *Authenticator) Sign(data []byte) *ssh.Signature {
	a.Counter++
	application, message := sha256.Sum256([]byte(a.Application)), sha256.Sum256(data)
	signed := append(application[:], rest(a.Flags, a.Counter)...)
	signed = append(signed, message[:]...)
	return &ssh.Signature{Format: a.Public.Type(), Blob: a.sign(signed), Rest: a.Rest(a.Flags, a.Counter)}
}

// Serve is the socket of an ssh-agent that holds the authenticator's key.
func (a *Authenticator) Serve(t testing.TB) (socket string) {
	t.Helper()
	return ServeAgent(t, holder{agent.NewKeyring(), a})
}

// ServeAgent is the socket of an ssh-agent, until the test ends.
func ServeAgent(t testing.TB, held agent.Agent) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(held, connection) }()
		}
	}()
	return socket
}

// holder is an ssh-agent with an authenticator plugged in.
type holder struct {
	agent.Agent
	a *Authenticator
}

// List implements agent.Agent.
func (h holder) List() ([]*agent.Key, error) {
	return []*agent.Key{{Format: h.a.Public.Type(), Blob: h.a.Public.Marshal(), Comment: "hardware"}}, nil
}

// Sign implements agent.Agent.
func (h holder) Sign(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	if string(key.Marshal()) != string(h.a.Public.Marshal()) {
		return nil, errors.New("no such key")
	}
	return h.a.Sign(data), nil
}
