package process

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// guard is a shell that ends a process group when this process is gone. The
// shell reads from a pipe that only this process can write to, and so sees
// its end even after kill -9. It covers what Pdeathsig can't: grandchildren.
type guard struct {
	cmd  *exec.Cmd
	pipe *os.File
}

func startGuard(group int) (*guard, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	defer read.Close()
	cmd := exec.Command("/bin/sh", "-c", `read -r _; kill -s KILL -- "-$0"`, strconv.Itoa(group))
	cmd.Stdin = read
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		_ = write.Close()
		return nil, fmt.Errorf("guard: %w", err)
	}
	return &guard{cmd: cmd, pipe: write}, nil
}

// release lets the guard end what is left of the group, and waits for it.
func (g *guard) release() {
	if g == nil {
		return
	}
	_ = g.pipe.Close()
	_ = g.cmd.Wait()
}
