// Package pack makes container images of static programs: nothing else is in them but an account to run as, and empty folders
// for it to write to.
//
// The same programs give the same image, bit for bit: times, owners and order are fixed. An image of this package never runs as
// root, and holds no shell, no package manager and no certificate authorities of others.
package pack

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// User is the account, and its group, that every image runs as.
const User = 65532

// Spec says what an image is made of.
type Spec struct {
	Programs   map[string]string // files of this machine, by their path in the image
	Writable   []string          // folders in the image that belong to User
	Entrypoint []string          // the program, and what it is always told
	Labels     map[string]string // as in the OCI image specification's annotations
	Arch       string            // as GOARCH
	Created    time.Time         // of the sources; of everything in the image
}

// Image makes an image with one layer for the ground and one for each program, so that what did not change is not moved again.
// The programs' files must stay until the image was written.
func Image(s Spec) (v1.Image, error) {
	ground, err := layer(s.ground)
	if err != nil {
		return nil, err
	}
	layers := []v1.Layer{ground}
	for _, at := range slices.Sorted(maps.Keys(s.Programs)) {
		l, err := layer(func(w *tar.Writer) error { return s.program(w, at, s.Programs[at]) })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		layers = append(layers, l)
	}
	image, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", s.Arch, v1.Time{Time: s.Created.UTC()}
	file.Config = v1.Config{User: fmt.Sprintf("%d:%d", User, User), Entrypoint: s.Entrypoint, Labels: s.Labels, WorkingDir: "/"}
	return mutate.ConfigFile(image, file)
}

// layer is compressed well: it is made once, and loaded often.
func layer(write func(*tar.Writer) error) (v1.Layer, error) {
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		reader, writer := io.Pipe()
		go func() {
			w := tar.NewWriter(writer)
			err := write(w)
			if err == nil {
				err = w.Close()
			}
			writer.CloseWithError(err)
		}()
		return reader, nil
	}, tarball.WithCompressionLevel(6), tarball.WithCompressedCaching)
}

// ground is the account and the folders.
func (s Spec) ground(w *tar.Writer) error {
	seen := map[string]bool{}
	for _, folder := range []string{"etc", "tmp"} {
		if err := s.folder(w, seen, folder, 0); err != nil {
			return err
		}
	}
	for _, folder := range s.Writable {
		if err := s.folder(w, seen, path.Clean(folder)[1:], User); err != nil {
			return err
		}
	}
	for _, file := range []struct{ name, content string }{
		{"etc/passwd", fmt.Sprintf("writ:x:%d:%d:writ:/:/nologin\n", User, User)},
		{"etc/group", fmt.Sprintf("writ:x:%d:\n", User)},
	} {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: file.name, Mode: 0o444, Size: int64(len(file.content)),
			ModTime: s.Created.UTC(), Format: tar.FormatPAX}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.WriteString(w, file.content); err != nil {
			return err
		}
	}
	return nil
}

// folder writes a folder and those above it, once each. tmp is for everybody.
func (s Spec) folder(w *tar.Writer, seen map[string]bool, name string, owner int) error {
	if name == "." || seen[name] {
		return nil
	}
	if err := s.folder(w, seen, path.Dir(name), 0); err != nil {
		return err
	}
	seen[name] = true
	mode := int64(0o755)
	switch {
	case name == "tmp":
		mode = 0o1777
	case owner != 0:
		mode = 0o700
	}
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, Uid: owner, Gid: owner,
		ModTime: s.Created.UTC(), Format: tar.FormatPAX})
}

func (s Spec) program(w *tar.Writer, at, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	at = path.Clean(at)[1:]
	if err := s.folder(w, map[string]bool{}, path.Dir(at), 0); err != nil {
		return err
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: at, Mode: 0o555, Size: info.Size(), ModTime: s.Created.UTC(), Format: tar.FormatPAX}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}

// Size is of an image in bytes: as it is kept in a registry, and as it lies on a node.
func Size(image v1.Image) (compressed, onNode int64, err error) {
	layers, err := image.Layers()
	if err != nil {
		return 0, 0, err
	}
	for _, l := range layers {
		size, err := l.Size()
		if err != nil {
			return 0, 0, err
		}
		compressed += size
		reader, err := l.Uncompressed()
		if err != nil {
			return 0, 0, err
		}
		n, err := io.Copy(io.Discard, reader)
		if err := errors.Join(err, reader.Close()); err != nil {
			return 0, 0, err
		}
		onNode += n
	}
	return compressed, onNode, nil
}

// Write writes an image as docker save does, under a reference as "writ-dev/writ-hub:v1".
func Write(image v1.Image, reference, file string) error {
	tag, err := name.NewTag(reference)
	if err != nil {
		return err
	}
	partial := file + ".partial"
	defer os.Remove(partial)
	if err := tarball.WriteToFile(partial, tag, image); err != nil {
		return err
	}
	return os.Rename(partial, file)
}
