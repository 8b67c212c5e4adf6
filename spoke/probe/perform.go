package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	kjson "sigs.k8s.io/json"

	"github.com/writ-dev/writ/api/catalogue"
)

// again is the pause between two tries.
const again = 500 * time.Millisecond

// Perform does in a pod of the sandbox what it is told, and returns what the pod says. It tries until that is well or the time is over:
// the network may not have learnt yet what it is to let through. The last answer counts that was one.
func Perform(ctx context.Context, task []byte, resolvConf string) ([]byte, error) {
	var p catalogue.Probe
	if strict, err := kjson.UnmarshalStrict(task, &p); err != nil || len(strict) > 0 {
		return nil, errors.Join(append(strict, err)...)
	}
	if p.Timeout <= 0 || p.Timeout > catalogue.MaxProbe*time.Second {
		return nil, fmt.Errorf("a probe of %s is none: at most %d s", p.Timeout, catalogue.MaxProbe)
	}
	var try func(context.Context) (catalogue.ProbeResult, []string)
	switch p.Mode {
	case catalogue.ProbeConnect:
		try = func(ctx context.Context) (catalogue.ProbeResult, []string) { return connect(ctx, p), nil }
	case catalogue.ProbeResolve:
		name := inCluster(p.Host, resolvConf)
		try = func(ctx context.Context) (catalogue.ProbeResult, []string) { return resolve(ctx, name) }
	default:
		return nil, fmt.Errorf("the mode %q is none", p.Mode)
	}
	said, began := catalogue.Probed{Mode: p.Mode, Host: p.Host, Port: p.Port}, time.Now()
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	said.Result, said.Addresses, said.Tries = persist(ctx, try)
	said.Milliseconds = time.Since(began).Milliseconds()
	return json.Marshal(said)
}

// persist tries until that is well or the time is over.
func persist(ctx context.Context, try func(context.Context) (catalogue.ProbeResult, []string)) (last catalogue.ProbeResult, addresses []string, tries int) {
	last = catalogue.TimedOut
	for {
		result, found := try(ctx)
		tries++
		if result != catalogue.TimedOut {
			last, addresses = result, found
		}
		if result == catalogue.Connected || result == catalogue.Resolved || !pause(ctx) {
			return last, addresses, tries
		}
	}
}

func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(again):
		return true
	}
}

// connect opens a connection and closes it.
func connect(ctx context.Context, p catalogue.Probe) catalogue.ProbeResult {
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port))))
	var timeout net.Error
	switch {
	case err == nil:
		_ = connection.Close()
		return catalogue.Connected
	case errors.Is(err, syscall.ECONNREFUSED):
		return catalogue.Refused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return catalogue.Unreachable
	case errors.As(err, &timeout) && timeout.Timeout():
		return catalogue.TimedOut
	}
	return catalogue.NoAnswer
}

func resolve(ctx context.Context, name string) (catalogue.ProbeResult, []string) {
	found, err := (&net.Resolver{PreferGo: true}).LookupNetIP(ctx, "ip", name)
	var dns *net.DNSError
	switch {
	case err == nil && len(found) > 0:
		var addresses []string
		for _, address := range found[:min(len(found), catalogue.MaxProbed)] {
			addresses = append(addresses, address.Unmap().String())
		}
		return catalogue.Resolved, addresses
	case err == nil || errors.As(err, &dns) && dns.IsNotFound:
		return catalogue.NotFound, nil
	case dns != nil && dns.IsTimeout || errors.Is(err, context.DeadlineExceeded):
		return catalogue.TimedOut, nil
	}
	return catalogue.NoAnswer, nil
}

// inCluster completes a name that ends in "svc" with the domain of the cluster, which the pod's resolv.conf has as that of all Services:
// so that the cluster's DNS is asked once, and nobody beyond it. Without one the resolver does as it is configured.
func inCluster(name, resolvConf string) string {
	raw, err := os.ReadFile(resolvConf)
	if err != nil {
		return name
	}
	for _, line := range strings.Split(string(raw), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "search" {
			continue
		}
		for _, domain := range fields[1:] {
			if strings.HasPrefix(domain, "svc.") {
				return strings.TrimSuffix(name, ".svc") + "." + strings.TrimSuffix(domain, ".") + "."
			}
		}
	}
	return name
}
