package show

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
)

// Columns makes a table without rows. A name that begins with "+" is shown with -o wide only.
func Columns(names ...string) *metav1.Table {
	table := &metav1.Table{}
	for _, name := range names {
		column := metav1.TableColumnDefinition{Name: name, Type: "string"}
		if name[0] == '+' {
			column.Name, column.Priority = name[1:], 1
		}
		table.ColumnDefinitions = append(table.ColumnDefinitions, column)
	}
	return table
}

// Row adds a row.
func Row(table *metav1.Table, cells ...any) {
	table.Rows = append(table.Rows, metav1.TableRow{Cells: cells})
}

// Age is how long ago something was, as kubectl shows it.
func Age(at metav1.Time, now time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return duration.HumanDuration(now.Sub(at.Time))
}

// OrDash shows that there is nothing.
func OrDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func plainTable(table *metav1.Table) *metav1.Table {
	for _, row := range table.Rows {
		for i, cell := range row.Cells {
			row.Cells[i] = Plain(fmt.Sprint(cell))
		}
	}
	return table
}

func eachWithItems(object runtime.Object, do func(runtime.Object) error) error {
	if err := do(object); err != nil {
		return err
	}
	if !meta.IsListType(object) {
		return nil
	}
	return meta.EachListItem(object, do)
}

// Story prints names and values in two columns, one pair a line; pairs without a value are left out.
type Story struct {
	to *tabwriter.Writer
}

// NewStory begins one; End prints it.
func NewStory(out io.Writer) *Story { return &Story{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)} }

// Say adds a pair.
func (s *Story) Say(name, format string, args ...any) {
	if value := Plain(fmt.Sprintf(format, args...)); value != "" {
		fmt.Fprintf(s.to, "%s\t%s\n", name, value)
	}
}

// Line adds a line of more columns, indented.
func (s *Story) Line(cells ...string) {
	for _, cell := range cells {
		fmt.Fprintf(s.to, "  %s\t", Plain(cell))
	}
	fmt.Fprintln(s.to)
}

// Title begins a part.
func (s *Story) Title(title string) {
	s.End()
	fmt.Fprintf(s.to, "\n%s\n", title)
}

// End prints what was said.
func (s *Story) End() { _ = s.to.Flush() }
