// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package process

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PanicError is a panic that [Guard] kept from ending the process.
type PanicError struct {
	Value any
	Stack string // the goroutine's, as the runtime prints it, cut at maxStack bytes
}

func (e *PanicError) Error() string { return fmt.Sprintf("internal error: %v", e.Value) }

// maxStack is room for some twenty calls.
const maxStack = 4096

// Guard makes a panic into an error, a [PanicError]: defer it first in every goroutine. The end of process 1 is a kernel panic that
// hides what happened.
func Guard(err *error) {
	if r := recover(); r != nil {
		stack := make([]byte, maxStack)
		*err = &PanicError{Value: r, Stack: string(stack[:runtime.Stack(stack, false)])}
	}
}

// Guarded calls f and makes a panic in it into an error, as [Guard] does.
func Guarded(f func() error) (err error) {
	defer Guard(&err)
	return f()
}

// DefaultSignals undoes what Go's runtime does with the signals that make it exit. A process 1 that leaves a signal at its default
// is not even sent it (signal(7), kernel/signal.c: sig_task_ignored), while one that has a handler is, and the runtime's ends the
// process. They are not ignored: what is ignored stays so in every program that is executed.
func DefaultSignals() {
	signals(0, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGABRT, unix.SIGPIPE, unix.SIGTERM)
}

// IgnoreSignals has the process go on whatever anybody asks of it, other than by SIGKILL.
func IgnoreSignals() { signals(1, unix.SIGHUP, unix.SIGINT, unix.SIGTERM) }

// signals sets what is done about signals: 0 is SIG_DFL, 1 is SIG_IGN (include/uapi/asm-generic/signal-defs.h).
func signals(handler uint64, list ...unix.Signal) {
	// struct sigaction without flags. Of its members the handler is the first (x86, and arch/*/include/uapi/asm/signal.h of arm64 and riscv).
	act := [4]uint64{handler}
	const setSize = 8 // a set of 64 signals
	for _, s := range list {
		// It fails for signals that do not exist.
		_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&act)), 0, setSize, 0, 0)
	}
}

// Uninterrupted makes a system call again as long as a signal interrupts it (EINTR). Go's runtime sends itself signals to preempt what
// runs for long, and the kernel does not restart every call by itself.
func Uninterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
