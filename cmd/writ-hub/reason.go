package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"go.opentelemetry.io/otel/trace"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/hub/reasoning"
	"github.com/writ-dev/writ/hub/signals"
	"github.com/writ-dev/writ/hub/store"
)

// reason starts a reasoner for each agent class that the configuration names, with the class's own identity.
func reason(h *hub, c config, kube *rest.Config, inbox *signals.Inbox, records store.Store, tracer trace.Tracer, log *slog.Logger) error {
	for _, r := range c.Reasoners {
		playbooks, err := readPlaybooks(r.Playbooks)
		if err != nil {
			return err
		}
		identity, err := identityOf(kube, r)
		if err != nil {
			return fmt.Errorf("agent class %s: %w", r.AgentClass, err)
		}
		door, err := reasoning.NewDoor(identity, agentNamespace+r.AgentClass)
		if err != nil {
			return fmt.Errorf("agent class %s: %w", r.AgentClass, err)
		}
		reasoner := reasoning.New(r.AgentClass, playbooks, records, door, tracer, log, time.Now)
		h.task(func(ctx context.Context) error { return reasoner.Run(ctx, inbox) })
		log.Info("agent class reasons", "class", r.AgentClass, "playbooks", len(playbooks))
	}
	return nil
}

// readPlaybooks reads every YAML file of a folder. One that is wrong stops the hub: half a set of playbooks is none.
func readPlaybooks(dir string) ([]*reasoning.Playbook, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no playbook (*.yaml)", dir)
	}
	var playbooks []*reasoning.Playbook
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		playbook, err := reasoning.Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		playbooks = append(playbooks, playbook)
	}
	return playbooks, nil
}
