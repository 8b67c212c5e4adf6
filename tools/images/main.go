// Command images makes the container images of Writ as archives that docker load and kind load image-archive take, each with a
// bill of materials beside it. It needs Go and nothing else.
//
//	images -source ../.. -out ../../bin/images -version v0.1.0
//	images -vault PATH -vault-plugin PATH -vault-auth PATH     the test's Vault too
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.source, "source", "../..", "the root of Writ's sources")
	flag.StringVar(&o.out, "out", "../../bin/images", "the folder for the archives")
	flag.StringVar(&o.version, "version", "dev", "the release: what the programs say they are, and the images' tag")
	flag.StringVar(&o.repository, "repository", "writ-dev", "what stands before the images' names")
	flag.StringVar(&o.arch, "arch", "amd64", "amd64 or arm64")
	flag.StringVar(&o.vault, "vault", "", "a Vault binary to make the image of the tests from; needs -vault-plugin and -vault-auth")
	flag.StringVar(&o.plugin, "vault-plugin", "", "Vault's Kubernetes secrets engine, for the same image")
	flag.StringVar(&o.auth, "vault-auth", "", "Writ's auth method for Vault, for the same image")
	created := flag.Int64("created", 0, "the time of the sources, in seconds since 1970")
	flag.Parse()
	o.created = time.Unix(*created, 0)
	o.only = flag.Args()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	made, err := o.make(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "image\tMB\tMB packed\tdigest")
	for _, m := range made {
		fmt.Fprintf(table, "%s\t%.1f\t%.1f\t%s\n", m.reference, mega(m.size), mega(m.packed), m.digest)
	}
	_ = table.Flush()
	if at, err := filepath.Abs(o.out); err == nil {
		fmt.Println("archives and bills of materials:", at)
	}
}

func mega(bytes int64) float64 { return float64(bytes) / 1e6 }

// tag makes a release fit for an image's tag.
func tag(version string) string { return strings.ReplaceAll(version, "+", "_") }
