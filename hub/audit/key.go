package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Key signs the log's checkpoints: Ed25519 in the note format (C2SP signed-note).
type Key struct {
	Signer   note.Signer
	Verifier note.Verifier
	// Public is the verifier key ("vkey"), one line: what auditors need.
	Public string
}

// LoadKey reads the log's key from a file of mode 0600, which it creates if there is none. The key's name is the log's origin.
func LoadKey(file, origin string) (Key, error) {
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return createKey(file, origin)
	}
	if err != nil {
		return Key{}, fmt.Errorf("the audit log's key: %w", err)
	}
	info, err := os.Stat(file)
	if err != nil {
		return Key{}, fmt.Errorf("the audit log's key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return Key{}, fmt.Errorf("the audit log's key: %s has mode %04o, others can read it: chmod 0600, or make a new one", file, info.Mode().Perm())
	}
	key, err := parseKey(strings.TrimSuffix(string(raw), "\n"))
	if err != nil {
		return Key{}, fmt.Errorf("the audit log's key: %s: %w", file, err)
	}
	if key.Signer.Name() != origin {
		return Key{}, fmt.Errorf("the audit log's key: %s is of %s, wanted %s", file, key.Signer.Name(), origin)
	}
	return key, nil
}

func createKey(file, origin string) (Key, error) {
	private, _, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return Key{}, fmt.Errorf("making the audit log's key: %w", err)
	}
	if err := replace(file, []byte(private+"\n"), 0o600); err != nil {
		return Key{}, fmt.Errorf("making the audit log's key: %w", err)
	}
	return parseKey(private)
}

// parseKey reads "PRIVATE+KEY+<name>+<hash>+<base64 of algorithm and seed>".
func parseKey(private string) (Key, error) {
	signer, err := note.NewSigner(private)
	if err != nil {
		return Key{}, err
	}
	fields := strings.SplitN(private, "+", 5) // base64 has '+' too
	seed, err := base64.StdEncoding.DecodeString(fields[4])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return Key{}, errors.New("not an Ed25519 key")
	}
	public := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	vkey, err := note.NewEd25519VerifierKey(signer.Name(), public)
	if err != nil {
		return Key{}, err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return Key{}, err
	}
	return Key{Signer: signer, Verifier: verifier, Public: vkey}, nil
}

// Publish writes the public half where auditors find it: next to the log's folder, never in it.
func (k Key) Publish(file string) error {
	if err := replace(file, []byte(k.Public+"\n"), 0o644); err != nil {
		return fmt.Errorf("publishing the audit log's key: %w", err)
	}
	return nil
}

// replace writes a file whole or not at all, and returns once it is on disk.
func replace(file string, content []byte, mode fs.FileMode) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(dir, filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(content)
	if err = errors.Join(err, temporary.Chmod(mode), temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), file); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
