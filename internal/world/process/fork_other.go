//go:build !linux

package process

import (
	"os/exec"
	"syscall"
)

// fork starts cmd in a group of its own. Without Linux's Pdeathsig, a child
// survives kill -9 of this process; every other end is covered by Stop.
func fork(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd.Start()
}
