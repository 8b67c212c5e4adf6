package cluster

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/writ-dev/writ/spoke/enrol"
)

// joinFile is a join file that stands ready next to its place, and takes it once the hub knows the token.
type joinFile struct {
	commit  func() error
	discard func()
}

// prepare writes the file under another name (mode 0600). It refuses to take the place of anything but an earlier join file of
// the same cluster.
func prepare(path, cluster string, content []byte, out io.Writer) (joinFile, error) {
	if path == "-" {
		return joinFile{func() error { _, err := out.Write(content); return err }, func() {}}, nil
	}
	raw, err := os.ReadFile(path)
	if err == nil {
		if earlier, err := enrol.ParseJoin(raw); err != nil || earlier.Cluster != cluster {
			return joinFile{}, fmt.Errorf("%s exists and is no join file of cluster %s: choose another with -f", path, cluster)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return joinFile{}, fmt.Errorf("the join file: %w", err)
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return joinFile{}, fmt.Errorf("the join file: %w", err)
	}
	discard := func() { _ = os.Remove(temp.Name()) }
	_, err = temp.Write(content)
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		discard()
		return joinFile{}, fmt.Errorf("the join file: %w", err)
	}
	return joinFile{func() error { return os.Rename(temp.Name(), path) }, discard}, nil
}
