// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package tpm

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/linux/process"
)

// ErrIncomplete says that somebody stopped between writing to the log and measuring: what it says is not all that is in the PCRs, or
// more. Nothing is added to such a log.
var ErrIncomplete = errors.New("the log of measurements is incomplete")

// maxRecord bounds one record. Of stage 1's the longest has some 1,200 bytes.
const maxRecord = 64 << 10

// Log is systemd's log of measurements, open and locked: nobody else measures or reads while it is.
//
// Protocol: systemd's src/shared/tpm2-util.c, tpm2_userspace_log_open. The file has mode 0600, because whoever may open it may lock
// it; while something is under way it has the sticky bit as well, which tells the next who locks it that the last did not finish.
type Log struct {
	f          *os.File
	start, end int64 // where it ended when it was opened, and ends now
}

// OpenLog opens the log called name, making it and its directories if they are not there, locks it and marks it as under way. The
// error wraps [ErrIncomplete] if it was marked already.
func OpenLog(name string) (*Log, error) {
	if err := os.MkdirAll(path.Dir(name), 0o755); err != nil {
		return nil, fmt.Errorf("cannot open the log of measurements: %w", err)
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NOCTTY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open the log of measurements: %w", err)
	}
	l := &Log{f: f}
	if err := l.begin(); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot use %s: %w", name, err)
	}
	return l, nil
}

func (l *Log) begin() error {
	if err := process.Uninterrupted(func() error { return unix.Flock(int(l.f.Fd()), unix.LOCK_EX) }); err != nil {
		return os.NewSyscallError("flock", err)
	}
	info, err := l.f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("it is no file but %s: %w", info.Mode().Type(), os.ErrInvalid)
	}
	if info.Mode()&os.ModeSticky != 0 {
		return ErrIncomplete
	}
	l.start, l.end = info.Size(), info.Size()
	return l.f.Chmod(0o600 | os.ModeSticky)
}

// Append adds a record, and returns when it is stored. If it fails the log is closed, and as it was or still marked.
func (l *Log) Append(record []byte) error {
	var err error
	if len(record) > maxRecord {
		err = fmt.Errorf("%d bytes, at most %d: %w", len(record), maxRecord, os.ErrInvalid)
	}
	if err == nil {
		var n int
		n, err = l.f.WriteAt(record, l.end)
		l.end += int64(n)
	}
	if err == nil {
		err = l.f.Sync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot add to the log of measurements: %w", err), l.Undo())
	}
	return nil
}

// Undo takes away what was appended since the log was opened, for a measurement that certainly did not take place, and closes it.
func (l *Log) Undo() error {
	if err := l.f.Truncate(l.start); err != nil {
		l.f.Close()
		return fmt.Errorf("cannot take a record out of the log of measurements: %w", err)
	}
	return l.Commit()
}

// Commit says that the log tells all, and closes it.
func (l *Log) Commit() error {
	err := l.f.Sync()
	if err == nil {
		err = l.f.Chmod(0o600)
	}
	if err = errors.Join(err, l.f.Close()); err != nil {
		return fmt.Errorf("cannot finish the log of measurements: %w", err)
	}
	return nil
}

// Abandon closes the log and leaves it marked: whether what it says was measured is unknown.
func (l *Log) Abandon() { l.f.Close() }
