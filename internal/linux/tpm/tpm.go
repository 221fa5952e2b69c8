// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package tpm carries commands to the machine's TPM 2.0; what is in them is package tpm2's.
//
// Interface: drivers/char/tpm/tpm-dev-common.c. One write is a command, the read behind it its response. The write ends when the
// TPM has answered or the kernel has given up on it, which for some commands is after minutes, so that each gets a time-out here.
package tpm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/linux/process"
)

// Timeout is how long [Device.Transmit] waits. A TPM of a machine answers in tens of milliseconds, an emulated one in a few; the kernel
// itself gives 750 ms to what measuring needs (tpm2_ordinal_duration_index) and may repeat it while the TPM tests itself.
const Timeout = 10 * time.Second

// ErrTimeout says that the TPM did not answer in time. It is not asked again: what it still may do is unknown.
var ErrTimeout = errors.New("the TPM does not answer")

// maxResponse is one byte more than the kernel has room for (TPM_BUFSIZE), so that a longer response would be seen as such.
const maxResponse = 4097

// Device is an open TPM. It is safe for concurrent use; commands go one after the other.
type Device struct {
	path    string
	timeout time.Duration

	mu   sync.Mutex
	fd   int // -1 if closed
	late bool
}

// Path returns the device's name.
func (d *Device) Path() string { return d.path }

// Transmit sends a command and waits for its response. The error wraps [ErrTimeout] if there is none in time, now or earlier, and
// [fs.ErrClosed] after [Device.Close].
func (d *Device) Transmit(command []byte) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.late:
		return nil, fmt.Errorf("cannot use %s: %w", d.path, ErrTimeout)
	case d.fd < 0:
		return nil, fmt.Errorf("cannot use %s: %w", d.path, fs.ErrClosed)
	}
	type answer struct {
		b   []byte
		err error
	}
	done := make(chan answer, 1)
	fd := d.fd
	go func() {
		b, err := exchange(fd, command)
		done <- answer{b, err}
	}()
	timer := time.NewTimer(d.timeout)
	defer timer.Stop()
	select {
	case a := <-done:
		if a.err != nil {
			return nil, fmt.Errorf("cannot use %s: %w", d.path, a.err)
		}
		return a.b, nil
	case <-timer.C:
		d.late, d.fd = true, -1
		go func() {
			// The descriptor is in use until the kernel gives up; only then may its number be another file's.
			<-done
			unix.Close(fd)
		}()
		return nil, fmt.Errorf("cannot use %s: %w in %s", d.path, ErrTimeout, d.timeout)
	}
}

// exchange writes a command and reads its response.
func exchange(fd int, command []byte) (_ []byte, err error) {
	defer process.Guard(&err)
	n, err := ignoringEINTR(func() (int, error) { return unix.Write(fd, command) })
	if err != nil {
		return nil, os.NewSyscallError("write", err)
	}
	if n != len(command) {
		return nil, fmt.Errorf("%d of %d bytes of the command were taken: %w", n, len(command), unix.EIO)
	}
	buf := make([]byte, maxResponse)
	if n, err = ignoringEINTR(func() (int, error) { return unix.Read(fd, buf) }); err != nil {
		return nil, os.NewSyscallError("read", err)
	}
	return buf[:n], nil
}

func ignoringEINTR(call func() (int, error)) (n int, err error) {
	err = process.Uninterrupted(func() (err error) {
		n, err = call()
		return err
	})
	return n, err
}

// Close closes the device. Closing twice is harmless.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return nil
	}
	fd := d.fd
	d.fd = -1
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("cannot close %s: %w", d.path, err)
	}
	return nil
}
