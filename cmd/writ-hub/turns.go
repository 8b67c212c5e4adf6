package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/writ-dev/writ/internal/door"
)

// trustRoot is the command trust-root: without -publish it shows who has which version, as JSON.
func trustRoot(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("writ-hub trust-root", flag.ContinueOnError)
	publish := flags.Bool("publish", false, "publish the trust root on standard input, which follows the one that the hub has")
	c, err := configured(flags, args, "shows the trust root of the hub that runs with this configuration, and who has it, as JSON.")
	if err != nil {
		return err
	}
	method, body := http.MethodGet, []byte(nil)
	if *publish {
		raw, err := io.ReadAll(os.Stdin)
		if err != nil {
			return err
		}
		if body, err = json.Marshal([][]byte{raw}); err != nil {
			return err
		}
		method = http.MethodPost
	}
	return tell(ctx, c, method, door.TrustPath, body)
}

// authority is the command ca: without -rotate it shows how far a rotation is, as JSON.
func authority(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("writ-hub ca", flag.ContinueOnError)
	rotate := flags.Bool("rotate", false, "begin a rotation of the CA, or let one that is held go on")
	hold := flags.Bool("hold", false, "with -rotate: publish the next authority, and stop there")
	force := flags.Bool("leave-behind", false, "with -rotate: wait for nobody any more")
	c, err := configured(flags, args, "shows how far the rotation of the CA is in the hub that runs with this configuration, as JSON.")
	if err != nil {
		return err
	}
	method := http.MethodGet
	if *rotate {
		method = http.MethodPost
	} else if *hold || *force {
		return fmt.Errorf("-hold and -leave-behind go with -rotate")
	}
	return tell(ctx, c, method, door.RotateCA(*hold, *force), nil)
}

func tell(ctx context.Context, c config, method, path string, body []byte) error {
	said, err := door.Call(ctx, door.Client(c.DataDir), method, path, body)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(said)
	return err
}
