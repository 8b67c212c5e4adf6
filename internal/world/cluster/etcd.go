package cluster

import (
	"context"
	"path/filepath"
	"strconv"

	"github.com/writ-dev/writ/internal/world/process"
	"github.com/writ-dev/writ/internal/world/tools"
)

// startEtcd starts the store behind TLS with client certificates: on a shared
// machine, whoever writes to etcd is the cluster's administrator.
func (c *Cluster) startEtcd(ctx context.Context) error {
	for try := 1; ; try++ {
		port, err := process.FreePort()
		if err != nil {
			return err
		}
		if err = c.tryEtcd(ctx, port); err == nil || try == portTries {
			return err
		}
	}
}

func (c *Cluster) tryEtcd(ctx context.Context, port int) error {
	client := "https://127.0.0.1:" + strconv.Itoa(port)
	peer := "https://127.0.0.1:0" // one member: nobody ever dials it
	args := []string{
		"--name=" + c.opts.Name,
		"--data-dir=" + c.file("etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=" + c.opts.Name + "=" + peer,
		"--cert-file=" + c.file("etcd.crt"),
		"--key-file=" + c.file("etcd.key"),
		"--trusted-ca-file=" + c.file("ca.crt"),
		"--client-cert-auth",
		"--peer-cert-file=" + c.file("etcd.crt"),
		"--peer-key-file=" + c.file("etcd.key"),
		"--peer-trusted-ca-file=" + c.file("ca.crt"),
		"--peer-client-cert-auth",
		"--log-level=warn",
		"--auto-compaction-mode=periodic",
		"--auto-compaction-retention=10m",
	}
	if !c.opts.Fsync {
		args = append(args, "--unsafe-no-fsync")
	}
	p, err := c.run(tools.Etcd, args...)
	if err != nil {
		return err
	}
	if err := p.AwaitPort(ctx, readyWithin, port); err != nil {
		p.Kill()
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.etcd, c.etcdURL = p, client
	return nil
}

func (c *Cluster) run(name string, args ...string) (*process.Process, error) {
	return process.Start(process.Spec{
		Name: name,
		Path: c.paths[name],
		Args: args,
		Dir:  c.dir,
		Log:  process.LogFile(c.dir, name),
	})
}

func (c *Cluster) file(name string) string { return filepath.Join(c.dir, name) }
