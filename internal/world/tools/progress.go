package tools

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/term"
)

const (
	everyOnTerminal = time.Second
	everyElsewhere  = 15 * time.Second
)

// progress tells a waiting person what is going on: one line that is
// rewritten on a terminal, a new line now and then elsewhere.
type progress struct {
	w       io.Writer
	what    string
	seconds int // about how long it takes
}

// start shows the elapsed time until the returned function is called, once,
// with the outcome.
func (p *progress) start() (stop func(error)) {
	terminal := isTerminal(p.w)
	every, format := everyElsewhere, "%s … %d s of about %d s\n"
	if terminal {
		every, format = everyOnTerminal, "\r\x1b[K%s … %d s of about %d s"
	}
	began := time.Now()
	elapsed := func() int { return int(time.Since(began).Seconds()) }
	fmt.Fprintf(p.w, format, p.what, 0, p.seconds)

	quit := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprintf(p.w, format, p.what, elapsed(), p.seconds)
			case <-quit:
				return
			}
		}
	})
	return func(err error) {
		close(quit)
		wait.Wait()
		outcome := "done"
		if err != nil {
			outcome = "failed"
		}
		if terminal {
			fmt.Fprint(p.w, "\r\x1b[K")
		}
		fmt.Fprintf(p.w, "%s … %s after %d s\n", p.what, outcome, elapsed())
	}
}

func (p *progress) note(text string) { fmt.Fprintln(p.w, text) }

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// estimate scales the measured time to this machine and to the share of the
// module that is missing; what programs share is most of the work.
func (b build) estimate(missing int) int {
	share := 0.5 + 0.5*float64(missing)/float64(b.wholeCount)
	cores := min(runtime.NumCPU(), 8)
	return int(float64(b.seconds)*share*2/float64(cores)) + 1
}
