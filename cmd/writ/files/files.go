// Package files reads what people declare from files: the objects of Writ's group, strictly.
package files

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/api/v1alpha1"
)

// maxFile bounds one file, in bytes.
const maxFile = 4 << 20

// Document is one object of a file.
type Document struct {
	File string
	Kind string
	JSON []byte
}

// Walk reads every YAML and JSON file below the paths given, and has each object of Writ's group taken. Objects of other groups are
// none of its business.
func Walk(paths []string, take func(Document) error) error {
	for _, path := range paths {
		err := filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			if file != path && !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(file)) {
				return nil
			}
			return read(file, take)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func read(file string, take func(Document) error) error {
	documents, err := split(file)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for n, d := range documents {
		if err := take(d); err != nil {
			return fmt.Errorf("%s: document %d: %w", file, n+1, err)
		}
	}
	return nil
}

// split reads the objects of Writ's group from a file.
func split(file string) ([]Document, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if len(raw) > maxFile {
		return nil, fmt.Errorf("longer than %d MiB", maxFile>>20)
	}
	var all []Document
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(raw)))
	for {
		text, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		object, err := yaml.YAMLToJSONStrict(text)
		if err != nil {
			return nil, err
		}
		if bytes.Equal(bytes.TrimSpace(object), []byte("null")) {
			continue
		}
		var head struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
		}
		if err := yaml.Unmarshal(object, &head); err != nil {
			return nil, err
		}
		switch group, _, _ := strings.Cut(head.APIVersion, "/"); {
		case group != v1alpha1.GroupVersion.Group:
		case head.APIVersion != v1alpha1.GroupVersion.String():
			return nil, fmt.Errorf("apiVersion %q: this program knows %s", head.APIVersion, v1alpha1.GroupVersion)
		default:
			all = append(all, Document{file, head.Kind, object})
		}
	}
}

// Strictly decodes JSON: unknown, duplicate and case-variant fields are errors.
func Strictly(raw []byte, into any) error {
	strict, err := kjson.UnmarshalStrict(raw, into)
	return errors.Join(append(strict, err)...)
}
