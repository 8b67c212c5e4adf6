package rollout

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/asking"
	"github.com/writ-dev/writ/cmd/writ/show"
)

// barWidth is in characters.
const barWidth = 24

// followToEnd prints a rollout's changes until it has ended. It is an error unless it succeeded.
func followToEnd(ctx context.Context, c client.WithWatch, key client.ObjectKey, out io.Writer) error {
	p := &printer{out: out}
	if file, ok := out.(*os.File); ok {
		p.terminal = term.IsTerminal(int(file.Fd()))
	}
	return asking.Follow(ctx, c, func() client.ObjectList { return &v1alpha1.RolloutList{} }, key, p.see)
}

// printer prints a line for each change that people can see. On a terminal a line is written anew as long as its wave lasts.
type printer struct {
	out      io.Writer
	terminal bool
	last     string
	wave     string
}

// see prints a rollout, and ends with it.
func (p *printer) see(r *v1alpha1.Rollout, gone bool) (done bool, err error) {
	if gone {
		p.end()
		return true, fmt.Errorf("rollout %s was deleted", r.Name)
	}
	line := fmt.Sprintf("%s  %-9s  %s", bar(r), phaseOf(r), show.Plain(messageOf(r)))
	if line != p.last {
		switch {
		case p.terminal && p.last != "" && p.wave == r.Status.Wave:
			fmt.Fprint(p.out, "\r\x1b[K")
		case p.terminal && p.last != "":
			fmt.Fprintln(p.out)
		}
		fmt.Fprintf(p.out, "%s  %s", time.Now().Format(time.TimeOnly), line)
		if !p.terminal {
			fmt.Fprintln(p.out)
		}
		p.last, p.wave = line, r.Status.Wave
	}
	if !r.Status.Phase.Final() {
		return false, nil
	}
	p.end()
	if r.Status.Phase != v1alpha1.RolloutSucceeded {
		return true, fmt.Errorf("rollout %s did not succeed (%s); writ rollout get %s/%s shows each cluster", r.Name, r.Status.Phase, r.Namespace, r.Name)
	}
	return true, nil
}

func (p *printer) end() {
	if p.terminal {
		fmt.Fprintln(p.out)
	}
}

// bar is how far a rollout is: which wave, and how many clusters of all have ended.
func bar(r *v1alpha1.Rollout) string {
	if r.Status.Total == 0 {
		return ""
	}
	b := progressbar.NewOptions(int(r.Status.Total), progressbar.OptionSetWriter(io.Discard), progressbar.OptionSetWidth(barWidth),
		progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(false), progressbar.OptionShowCount(),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}))
	ended := 0
	for _, wave := range r.Status.Waves {
		for _, c := range wave.Clusters {
			if c.Phase.Final() {
				ended++
			}
		}
	}
	_ = b.RenderBlank()
	_ = b.Set(ended)
	return fmt.Sprintf("wave %s %s", r.Status.Wave, show.Plain(strings.TrimSpace(b.String())))
}

func messageOf(r *v1alpha1.Rollout) string {
	if r.Status.Phase == "" {
		return "the hub has not looked at it yet"
	}
	return r.Status.Message
}
