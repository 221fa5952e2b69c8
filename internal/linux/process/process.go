// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package process holds what PID 1 does to itself and to the machine: clocks, console, exec, reboot.
package process

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Uptime returns CLOCK_BOOTTIME, the time since the kernel started.
func Uptime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// Exec replaces this process. It returns only if that failed.
func Exec(path string, argv, env []string) error {
	return fmt.Errorf("cannot execute %s: %w", path, unix.Exec(path, argv, env))
}

// UseConsole makes the terminal at path this process's standard input, output and error.
func UseConsole(path string) error {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open the console %s: %w", path, err)
	}
	for std := range 3 {
		if fd == std {
			continue
		}
		// Dup3 clears close-on-exec on the copy, which is what the next program wants of these three.
		if err := unix.Dup3(fd, std, 0); err != nil {
			unix.Close(fd)
			return fmt.Errorf("cannot use the console %s: %w", path, err)
		}
	}
	if fd > 2 {
		unix.Close(fd)
	}
	return nil
}

// RunOnConsole runs a program in a session of its own whose controlling terminal is the one at path, and waits for its end.
// What it started may still run then, or wait to be reaped by process 1: see [EndOthers].
func RunOnConsole(path string, argv, env []string) error {
	tty, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("cannot open the console %s: %w", path, err)
	}
	defer tty.Close()
	// Package os/exec would add pipes, paths and deadlines, none of which a console needs.
	p, err := os.StartProcess(argv[0], argv, &os.ProcAttr{
		Dir: "/", Env: env, Files: []*os.File{tty, tty, tty},
		Sys: &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0},
	})
	if err == nil {
		_, err = p.Wait() // what the user's shell ended with is the user's business
	}
	if err != nil {
		return fmt.Errorf("cannot run %s on %s: %w", argv[0], path, err)
	}
	return nil
}

// StartSelf starts this program once more, with the same standard files, for what process 1 would not survive if it did not come back:
// a thread that waits in the kernel, where nothing can kill it, keeps [Exec] from ever returning. argv begins with the program's name.
func StartSelf(argv []string) (*os.Process, error) {
	return startSelf(argv, os.Stdin, os.Stdout, os.Stderr)
}

// StartSelfInto is [StartSelf] with another standard output. Nobody is to wait for the process.
func StartSelfInto(argv []string, stdout *os.File) error {
	_, err := startSelf(argv, os.Stdin, stdout, os.Stderr)
	return err
}

func startSelf(argv []string, files ...*os.File) (*os.Process, error) {
	p, err := os.StartProcess("/proc/self/exe", argv, &os.ProcAttr{Dir: "/", Files: files})
	if err != nil {
		return nil, fmt.Errorf("cannot start another %s: %w", argv[0], err)
	}
	return p, nil
}

// ErrStillThere says that a process could not be ended in time.
var ErrStillThere = errors.New("a process does not end")

// EndOthers kills every other process of the machine and reaps them all. Only process 1 may ask for that; every process that has lost
// its parent is its child. A process that waits for a device cannot be killed: after the time limit the error wraps [ErrStillThere].
func EndOthers(limit time.Duration) error {
	if os.Getpid() != 1 {
		return fmt.Errorf("cannot end all other processes: this is process %d: %w", os.Getpid(), unix.EPERM)
	}
	for end := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		// There may be none, and one that forks may have got away: so again and again.
		_ = unix.Kill(-1, unix.SIGKILL)
		for {
			var pid int
			err := Uninterrupted(func() (err error) {
				pid, err = unix.Wait4(-1, nil, unix.WNOHANG|unix.WALL, nil)
				return err
			})
			if errors.Is(err, unix.ECHILD) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("cannot wait for the end of all other processes: %w", err)
			}
			if pid == 0 {
				break
			}
		}
		if time.Now().After(end) {
			return fmt.Errorf("cannot end all other processes in %s: %w", limit, ErrStillThere)
		}
	}
}

// Action is what becomes of the machine.
type Action int

// What [Reboot] can do.
const (
	Restart Action = iota
	PowerOff
	Halt
)

// Reboot syncs and does a. It returns only if the kernel refused.
func Reboot(a Action) error {
	unix.Sync()
	cmd := unix.LINUX_REBOOT_CMD_RESTART
	switch a {
	case PowerOff:
		cmd = unix.LINUX_REBOOT_CMD_POWER_OFF
	case Halt:
		cmd = unix.LINUX_REBOOT_CMD_HALT
	}
	return fmt.Errorf("cannot reboot: %w", unix.Reboot(cmd))
}

// HoldInMemory keeps all of this process, and what it will allocate, in memory: nothing of it has to be read from a disk again, whatever
// becomes of that.
func HoldInMemory() error {
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE); err != nil {
		return fmt.Errorf("cannot hold this process in memory: %w", err)
	}
	return nil
}

// Reset restarts the machine as a reset button does, without shutting any device down (the SysRq key's "b"). A device that is being
// probed and does not answer keeps [Reboot] from ever ending. It returns only if the kernel refused.
func Reset() error {
	const trigger = "/proc/sysrq-trigger"
	f, err := os.OpenFile(trigger, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString("b")
		f.Close()
	}
	if err == nil {
		err = unix.EAGAIN // it was not
	}
	return fmt.Errorf("cannot reset the machine: %w", err)
}
