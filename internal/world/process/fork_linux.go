package process

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// forks carries commands to the one thread that starts every child.
//
// Linux sends Pdeathsig when the thread that forked ends, not the process.
// The Go runtime may end a thread at any time, so children are started by a
// goroutine that is locked to its thread and never returns.
var forks = sync.OnceValue(func() chan<- request {
	requests := make(chan request)
	go func() {
		runtime.LockOSThread()
		for r := range requests {
			r.result <- r.cmd.Start()
		}
	}()
	return requests
})

type request struct {
	cmd    *exec.Cmd
	result chan error
}

func fork(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	r := request{cmd: cmd, result: make(chan error, 1)}
	forks() <- r
	return <-r.result
}
