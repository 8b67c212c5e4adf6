// Package sbom says what is in an image, as SPDX 2.3: the programs, and every Go module and the standard library that each was
// linked from, as the linker itself wrote it into the program.
package sbom

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
)

const unknown = "NOASSERTION"

// Image is what is described.
type Image struct {
	Name, Version string
	Digest        string // as "sha256:…", of its manifest
	Programs      []string
	Created       time.Time
}

// Write writes the document as JSON. The same image gives the same document.
func Write(w io.Writer, i Image) error {
	document := &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT", DocumentName: i.Name + "-" + i.Version,
		DocumentNamespace: "https://writ.dev/spdx/" + i.Name + "/" + strings.TrimPrefix(i.Digest, "sha256:"),
		CreationInfo: &spdx.CreationInfo{Created: i.Created.UTC().Format(time.RFC3339),
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "writ-images"}, {CreatorType: "Organization", Creator: "Writ"}}},
	}
	image := add(document, &spdx.Package{PackageName: i.Name, PackageVersion: i.Version, PrimaryPackagePurpose: "CONTAINER",
		PackageChecksums: []common.Checksum{{Algorithm: common.SHA256, Value: strings.TrimPrefix(i.Digest, "sha256:")}}})
	relate(document, "DOCUMENT", common.TypeRelationshipDescribe, image)
	for _, program := range i.Programs {
		if err := describe(document, image, program, i.Version); err != nil {
			return fmt.Errorf("%s: %w", program, err)
		}
	}
	return json.Write(document, w, json.Indent("  "))
}

// describe adds a program and what it was linked from.
func describe(document *spdx.Document, image common.ElementID, file, version string) error {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return err
	}
	digest, err := digestOf(file)
	if err != nil {
		return err
	}
	if info.Main.Path != "github.com/writ-dev/writ" {
		version = strings.TrimPrefix(info.Main.Version, "(devel)")
	}
	program := add(document, &spdx.Package{PackageName: filepath.Base(file), PackageVersion: version, PrimaryPackagePurpose: "APPLICATION",
		PackageChecksums: []common.Checksum{{Algorithm: common.SHA256, Value: digest}}})
	relate(document, image, common.TypeRelationshipContains, program)
	modules := append([]*debug.Module{{Path: "stdlib", Version: "v" + strings.TrimPrefix(info.GoVersion, "go")}}, info.Deps...)
	for _, module := range modules {
		if module.Replace != nil {
			module = module.Replace
		}
		relate(document, program, common.TypeRelationshipStaticLink, add(document, &spdx.Package{
			PackageName: module.Path, PackageVersion: module.Version, PrimaryPackagePurpose: "LIBRARY",
			PackageExternalReferences: []*spdx.PackageExternalReference{{Category: common.CategoryPackageManager,
				RefType: common.TypePackageManagerPURL, Locator: "pkg:golang/" + module.Path + "@" + module.Version}},
		}))
	}
	return nil
}

// add adds a package that is not there yet, and returns its identifier.
func add(document *spdx.Document, p *spdx.Package) common.ElementID {
	p.PackageSPDXIdentifier = identifier(p)
	p.PackageDownloadLocation, p.PackageLicenseConcluded, p.PackageLicenseDeclared, p.PackageCopyrightText = unknown, unknown, unknown, unknown
	for _, there := range document.Packages {
		if there.PackageSPDXIdentifier == p.PackageSPDXIdentifier {
			return p.PackageSPDXIdentifier
		}
	}
	document.Packages = append(document.Packages, p)
	return p.PackageSPDXIdentifier
}

var unfit = regexp.MustCompile(`[^A-Za-z0-9.]+`)

// identifier is unique: two names that differ only in what an identifier cannot hold differ in their digest.
func identifier(p *spdx.Package) common.ElementID {
	whole := p.PrimaryPackagePurpose + "-" + p.PackageName + "-" + p.PackageVersion
	sum := sha256.Sum256([]byte(whole))
	return common.ElementID(unfit.ReplaceAllString(whole, "-") + "-" + hex.EncodeToString(sum[:4]))
}

func relate(document *spdx.Document, from common.ElementID, how string, to common.ElementID) {
	document.Relationships = append(document.Relationships, &spdx.Relationship{Relationship: how,
		RefA: common.DocElementID{ElementRefID: from}, RefB: common.DocElementID{ElementRefID: to}})
}

func digestOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
