package vault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Restart ends the server as a power cut would, and starts it again on what it had written: unsealed, at the same address.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	p := s.proc
	s.mu.Unlock()
	if p == nil {
		return errors.New("restart: vault is stopped")
	}
	p.Kill()
	if err := s.launch(ctx); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	s.admin.SetToken(s.keys.Root)
	return s.Unseal(ctx)
}

// KillPlugin kills the processes of a plugin of this server, and returns how many there were. Vault starts others when it needs them.
func (s *Server) KillPlugin(name string) (killed int, err error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		line, _ := os.ReadFile(file)
		if program, _, _ := strings.Cut(string(line), "\x00"); program != filepath.Join(s.dir, "plugins", name) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil && !errors.Is(err, syscall.ESRCH) {
			return killed, fmt.Errorf("plugin %s: %w", name, err)
		}
		killed++
	}
	return killed, nil
}
