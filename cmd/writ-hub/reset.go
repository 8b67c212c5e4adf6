package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/hub/enrol"
	"github.com/writ-dev/writ/hub/gateway"
	"github.com/writ-dev/writ/internal/door"
)

// resets takes epoch resets in, for whoever may open the door; what counts is who signed.
type resets struct {
	root      trust.Source
	enrolment *enrol.Service
	gateway   *gateway.Gateway
}

// ServeHTTP implements http.Handler.
func (s resets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bundle.MaxSize))
	if err == nil {
		var names []string
		if names, err = s.take(r.Context(), raw); err == nil {
			fmt.Fprintf(w, "epoch reset of %d clusters: %s\n", len(names), strings.Join(names, ", "))
			return
		}
	}
	http.Error(w, err.Error(), http.StatusUnprocessableEntity)
}

func (s resets) take(ctx context.Context, raw []byte) ([]string, error) {
	reset, err := trust.VerifyReset(ctx, raw, s.root.Present(), time.Now())
	if err != nil {
		return nil, err
	}
	names, err := s.enrolment.ResetEpoch(ctx, reset, raw)
	if err != nil {
		return nil, err
	}
	return names, s.gateway.Reconsider(ctx)
}

// resetEpoch is the command reset-epoch: it hands a statement of the root keys to the running hub.
func resetEpoch(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("writ-hub reset-epoch", flag.ContinueOnError)
	file := flags.String("f", "-", "the statement that writ trust reset-epoch made; - is standard input")
	c, err := configured(flags, args, "lets clusters' sequences begin anew, as the root keys have signed, in the hub that runs with this configuration.")
	if err != nil {
		return err
	}
	var raw []byte
	if *file == "-" {
		raw, err = io.ReadAll(os.Stdin)
	} else {
		raw, err = os.ReadFile(*file)
	}
	if err != nil {
		return err
	}
	if len(raw) == 0 {
		return errors.New("the statement is empty")
	}
	said, err := door.Reset(ctx, door.Client(c.DataDir), raw)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, said)
	return nil
}
