// Package process runs the programs a test world is made of: API servers,
// etcd, Vault.
//
// It promises that no child outlives this process, however it ends: a normal
// stop, Ctrl-C, a panic, or kill -9. It never hands a child its own terminal
// signals: each child has a process group of its own, and a child's output
// goes to a file.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Spec says what to run.
type Spec struct {
	Name string // for people and for errors
	Path string // the program
	Args []string
	Env  []string // added to this process's environment
	Dir  string   // working directory; "" is this process's
	Log  string   // file that gets stdout and stderr, appended, mode 0600

	// Children says that the program starts processes of its own, such as
	// compilers or plugins: a guard then ends the whole group when this
	// process dies.
	Children bool
}

// Process is one running child.
type Process struct {
	name  string
	log   string
	cmd   *exec.Cmd
	guard *guard

	done     chan struct{}
	exit     error // set before done is closed
	stopOnce sync.Once
}

// Start runs the program and returns once it is forked.
func Start(spec Spec) (*Process, error) {
	log, err := os.OpenFile(spec.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: open its log: %w", spec.Name, err)
	}
	defer log.Close()

	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Dir = spec.Dir
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := fork(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	p := &Process{name: spec.Name, log: spec.Log, cmd: cmd, done: make(chan struct{})}
	if spec.Children {
		if p.guard, err = startGuard(cmd.Process.Pid); err != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			_ = cmd.Wait()
			return nil, fmt.Errorf("start %s: %w", spec.Name, err)
		}
	}
	go func() {
		p.exit = cmd.Wait()
		p.guard.release()
		close(p.done)
	}()
	return p, nil
}

// PID is the child's process ID, and its process group's.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the child has exited.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the child, and kills its group when ctx ends first.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.exit
	case <-ctx.Done():
		p.Kill()
		return ctx.Err()
	}
}

// Failure tells in one line why the child is gone; nil while it runs.
func (p *Process) Failure() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	reason := "exited"
	if p.exit != nil {
		reason = p.exit.Error()
	}
	line := LastLine(p.log)
	if line == "" {
		return fmt.Errorf("%s ended: %s; its log is %s", p.name, reason, p.log)
	}
	return fmt.Errorf("%s ended: %s: %q; its log is %s", p.name, reason, line, p.log)
}

// Stop asks the child to end, and kills its group when it has not ended
// within grace. It may be called again, and on a child that is gone.
func (p *Process) Stop(grace time.Duration) {
	p.stopOnce.Do(func() {
		_ = p.signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(grace):
		}
	})
	p.Kill()
}

// Kill ends the child and its group at once, as a power cut would.
func (p *Process) Kill() {
	_ = p.signal(syscall.SIGKILL)
	<-p.done
}

// signal reaches the whole group, as long as the child has not been reaped:
// its number could otherwise belong to somebody else.
func (p *Process) signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		return os.ErrProcessDone
	default:
	}
	err := syscall.Kill(-p.PID(), sig)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// Stop ends several children at once, and waits for all of them.
func Stop(grace time.Duration, children ...*Process) {
	var wait sync.WaitGroup
	for _, p := range children {
		if p != nil {
			wait.Go(func() { p.Stop(grace) })
		}
	}
	wait.Wait()
}

// LogFile names the log of the named child in dir.
func LogFile(dir, name string) string { return filepath.Join(dir, name+".log") }
