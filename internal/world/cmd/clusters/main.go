// Command clusters compiles what a test world needs and starts clusters of it
// on this machine, for work by hand.
//
//	clusters -compile     compile everything, start nothing
//	clusters -path vault  print where a program is; compile it if need be
//	clusters -n 3         start three, print their kubeconfigs, stop on Ctrl-C
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/tools"
)

func main() {
	compile := flag.Bool("compile", false, "compile every program, start nothing")
	path := flag.String("path", "", "print the path of this program, start nothing")
	count := flag.Int("n", 1, "how many clusters")
	prefix := flag.String("prefix", "cluster", "their names: <prefix>-1, <prefix>-2, …")
	dir := flag.String("dir", "", "keep keys, data and logs under this directory (default: temporary)")
	workloads := flag.Bool("workloads", true, "run controllers, scheduler and simulated nodes")
	flag.Parse()

	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if *path != "" {
		err = printPath(ctx, *path)
	} else {
		err = run(ctx, *compile, *count, *prefix, *dir, *workloads)
	}
	stopped := ctx.Err() != nil
	cancel()
	switch {
	case err == nil:
	case stopped:
		fmt.Fprintln(os.Stderr, "clusters: interrupted")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "clusters:", err)
		os.Exit(1)
	}
}

func printPath(ctx context.Context, program string) error {
	path, err := tools.Ensure(ctx, os.Stderr, program)
	if err == nil {
		fmt.Println(path)
	}
	return err
}

func run(ctx context.Context, compile bool, count int, prefix, dir string, workloads bool) error {
	if compile {
		_, err := tools.EnsureAll(ctx, os.Stderr)
		return err
	}
	clusters := make([]*cluster.Cluster, count)
	defer func() {
		var stop errgroup.Group
		for _, c := range clusters {
			if c != nil {
				stop.Go(func() error { c.Stop(); return nil })
			}
		}
		_ = stop.Wait()
	}()
	start, startCtx := errgroup.WithContext(ctx)
	for i := range clusters {
		start.Go(func() (err error) {
			opts := cluster.Options{Name: fmt.Sprintf("%s-%d", prefix, i+1), Workloads: workloads, Progress: os.Stderr}
			if dir != "" {
				opts.Dir = filepath.Join(dir, opts.Name)
			}
			clusters[i], err = cluster.Start(startCtx, opts)
			return err
		})
	}
	if err := start.Wait(); err != nil {
		return err
	}
	for _, c := range clusters {
		fmt.Printf("%s\t%s\t%s\n", c.Name(), c.Server(), c.Kubeconfig())
	}
	fmt.Fprintln(os.Stderr, "press Ctrl-C to stop")
	return watch(ctx, clusters)
}

// watch returns when ctx ends, or when a cluster has lost one of its programs.
func watch(ctx context.Context, clusters []*cluster.Cluster) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			for _, c := range clusters {
				if err := c.Err(); err != nil {
					return fmt.Errorf("%s: %w", c.Name(), err)
				}
			}
		}
	}
}
