// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package tpm

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair returns a device that is one end of a socket which keeps messages apart, and the other end.
func pair(t *testing.T, timeout time.Duration) (*Device, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	d := &Device{path: "/dev/test", timeout: timeout, fd: fds[0]}
	t.Cleanup(func() {
		d.Close()
		unix.Close(fds[1])
	})
	return d, fds[1]
}

func TestTransmit(t *testing.T) {
	d, other := pair(t, time.Minute)
	go func() {
		buf := make([]byte, maxResponse)
		for range 2 {
			n, err := unix.Read(other, buf)
			if err != nil {
				return
			}
			if _, err := unix.Write(other, append(buf[:n:n], '!')); err != nil {
				return
			}
		}
	}()
	for _, cmd := range []string{"one", "two"} {
		if got, err := d.Transmit([]byte(cmd)); err != nil || string(got) != cmd+"!" {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Error("closing twice:", err)
	}
	if _, err := d.Transmit([]byte("three")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestTransmitFails(t *testing.T) {
	d, other := pair(t, time.Minute)
	unix.Close(other)
	if _, err := d.Transmit([]byte("one")); !errors.Is(err, unix.EPIPE) {
		t.Errorf("got %v", err)
	}
}

// TestTimeout has a TPM that takes a command and says nothing, and later something that is too late.
func TestTimeout(t *testing.T) {
	d, other := pair(t, 20*time.Millisecond)
	fd := d.fd
	if _, err := d.Transmit([]byte("one")); !errors.Is(err, ErrTimeout) {
		t.Fatalf("got %v", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
		t.Errorf("the descriptor is closed while the kernel still uses it: %v", err)
	}
	if _, err := d.Transmit([]byte("two")); !errors.Is(err, ErrTimeout) {
		t.Errorf("asked again: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	buf := make([]byte, 16)
	if n, err := unix.Read(other, buf); err != nil || !bytes.Equal(buf[:n], []byte("one")) {
		t.Errorf("the TPM was told %q, %v", buf[:n], err)
	}
	if _, err := unix.Write(other, []byte("late")); err != nil {
		t.Error(err)
	}
	// Now the descriptor goes: its other end reads an end of file.
	if n, err := unix.Read(other, buf); n != 0 || err != nil && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("got %q, %v", buf[:n], err)
	}
}

func TestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log/systemd/tpm2-measure.log")
	content := func(want string, mode fs.FileMode) {
		t.Helper()
		b, err := os.ReadFile(path)
		info, serr := os.Stat(path)
		if err != nil || serr != nil || string(b) != want || info.Mode() != mode {
			t.Errorf("the log has %q, %v and mode %v; want %q, %v", b, err, info.Mode(), want, mode)
		}
	}
	open := func() *Log {
		t.Helper()
		l, err := OpenLog(path)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	const dirty = 0o600 | fs.ModeSticky
	l := open()
	content("", dirty)
	if err := l.Append([]byte("one\n")); err != nil {
		t.Error(err)
	}
	content("one\n", dirty)
	if err := l.Commit(); err != nil {
		t.Error(err)
	}
	content("one\n", 0o600)

	l = open()
	for _, s := range []string{"two\n", "three\n"} {
		if err := l.Append([]byte(s)); err != nil {
			t.Error(err)
		}
	}
	content("one\ntwo\nthree\n", dirty)
	if err := l.Undo(); err != nil {
		t.Error(err)
	}
	content("one\n", 0o600)

	if err := open().Append(make([]byte, maxRecord+1)); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("a record without bounds: %v", err)
	}
	content("one\n", 0o600)

	l = open()
	if err := l.Append([]byte("four\n")); err != nil {
		t.Error(err)
	}
	l.Abandon()
	content("one\nfour\n", dirty)
	if _, err := OpenLog(path); !errors.Is(err, ErrIncomplete) {
		t.Errorf("a log that somebody did not finish: %v", err)
	}
	content("one\nfour\n", dirty)
}

// TestLogIsLocked lets somebody else, as systemd would, wait for the log.
func TestLogIsLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := unix.Flock(int(other.Fd()), unix.LOCK_SH|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("a reader gets the lock: %v", err)
	}
	if err := l.Commit(); err != nil {
		t.Error(err)
	}
	if err := unix.Flock(int(other.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestLogElsewhere(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "file"), nil, 0o600), os.Symlink("file", link)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLog(link); !errors.Is(err, unix.ELOOP) {
		t.Errorf("through a link: %v", err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := OpenLog(pipe); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("into a pipe: %v", err)
	}
	if _, err := OpenLog(filepath.Join(dir, "file", "log")); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("below a file: %v", err)
	}
}
