// Package show prints objects: as tables for people, as JSON and YAML for programs, as names for scripts.
//
// What clusters, agents and other people wrote is hostile to a terminal: every table and every line goes through Plain.
package show

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/usage"
)

// The formats.
const (
	Table = "table"
	Wide  = "wide"
	JSON  = "json"
	YAML  = "yaml"
	Name  = "name"
)

// All is what commands that print objects offer.
var All = []string{Table, Wide, JSON, YAML, Name}

// Flag adds -o with the formats given; the first is the default.
func Flag(command *cobra.Command, into *string, formats ...string) {
	command.Flags().StringVarP(into, "output", "o", formats[0], "one of "+strings.Join(formats, ", "))
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	inner := command.RunE
	command.RunE = func(command *cobra.Command, args []string) error {
		if !slices.Contains(formats, *into) {
			return usage.Errorf("output %q is none of %s", *into, strings.Join(formats, ", "))
		}
		return inner(command, args)
	}
}

// Object prints an object or a list; the table is made where it is wanted.
func Object(out io.Writer, format string, object runtime.Object, table func() *metav1.Table) error {
	if format == Table || format == Wide {
		return Rows(out, format, table())
	}
	scheme := access.Scheme()
	if err := typed(scheme, object); err != nil {
		return err
	}
	var text bytes.Buffer
	var err error
	switch format {
	case JSON:
		err = (&printers.OmitManagedFieldsPrinter{Delegate: &printers.JSONPrinter{}}).PrintObj(object, &text)
	case YAML:
		err = (&printers.OmitManagedFieldsPrinter{Delegate: &printers.YAMLPrinter{}}).PrintObj(object, &text)
	case Name:
		err = names(object, &text)
	default:
		err = fmt.Errorf("output %q is unknown", format)
	}
	if err != nil {
		return err
	}
	if format == JSON {
		_, err = out.Write(Escape(text.Bytes()))
		return err
	}
	_, err = io.WriteString(out, Lines(text.String()))
	return err
}

// Value prints a value that is no object, as JSON.
func Value(out io.Writer, of any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(of); err != nil {
		return err
	}
	_, err := out.Write(Escape(text.Bytes()))
	return err
}

// names prints the name of an object, or of each of a list.
func names(object runtime.Object, out io.Writer) error {
	printer := &printers.NamePrinter{}
	if !meta.IsListType(object) {
		return printer.PrintObj(object, out)
	}
	return meta.EachListItem(object, func(o runtime.Object) error { return printer.PrintObj(o, out) })
}

// Rows prints a table.
func Rows(out io.Writer, format string, table *metav1.Table) error {
	return printers.NewTablePrinter(printers.PrintOptions{Wide: format == Wide}).PrintObj(plainTable(table), out)
}

// typed writes kind and version into an object and the items of a list: the client leaves them out.
func typed(scheme *runtime.Scheme, object runtime.Object) error {
	return eachWithItems(object, func(o runtime.Object) error {
		kinds, _, err := scheme.ObjectKinds(o)
		if err != nil {
			return err
		}
		o.GetObjectKind().SetGroupVersionKind(kinds[0])
		return nil
	})
}

// Plain makes text safe for one line of a terminal: no control characters, no line breaks, nothing that reverses the order
// of what is shown.
func Plain(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// Lines is Plain, except for line breaks and tabs.
func Lines(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// Escape writes what a terminal must not see of a JSON text as JSON's own escapes: the value stays the same.
func Escape(text []byte) []byte {
	var out bytes.Buffer
	for _, r := range string(text) {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.Bytes()
}
