// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package uevent reads the kernel's announcements of devices: netlink messages of NETLINK_KOBJECT_UEVENT and the uevent
// files in sysfs.
//
// A message is "ACTION@DEVPATH" and then KEY=VALUE strings, each ended by a NUL (the kernel's lib/kobject_uevent.c); a
// file has KEY=VALUE lines. The package only parses. That a message came from the kernel is for the owner of the socket
// to check: its netlink sender is port 0.
package uevent

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

var (
	// ErrNotKernel says that a message is one of udev's, which have another format and come from a process.
	ErrNotKernel = errors.New("message from udev, not from the kernel")
	// ErrSyntax says that a message or a file is none that the kernel writes.
	ErrSyntax = errors.New("malformed uevent")
)

const (
	// MaxSize is the longest message and file taken, in bytes. The kernel's environment has up to 2048
	// (UEVENT_BUFFER_SIZE), the device path in front of it up to 4096 (PATH_MAX).
	MaxSize = 8192
	// MaxKeys is the kernel's UEVENT_NUM_ENVP.
	MaxKeys = 64
)

// Event is what the kernel says about one device. Fields without a value in the message are zero; where a key comes
// twice, its last value counts, as for udev.
type Event struct {
	Action    string // add, remove, change, bind, ...; empty from a file
	DevPath   string // below /sys, with a leading slash and without dot components; empty from a file
	Subsystem string // empty from a file
	DevName   string // below /dev, relative and without dot components; empty where there is no node
	DevType   string // for example disk, partition
	Modalias  string
	Driver    string
	Major     int // with Minor the device number; zero where there is no node
	Minor     int
	Seqnum    uint64   // ascending over all events; zero from a file
	Env       []string // everything as KEY=VALUE, in order, just as it came
}

// Get returns the value of key, and whether it is there.
func (e *Event) Get(key string) (value string, ok bool) {
	for i := len(e.Env) - 1; i >= 0; i-- {
		if k, v, _ := strings.Cut(e.Env[i], "="); k == key {
			return v, true
		}
	}
	return "", false
}

// Parse reads one netlink message. The result does not refer to msg. The error wraps [ErrNotKernel] or [ErrSyntax].
func Parse(msg []byte) (Event, error) {
	e, err := parse(msg)
	if err != nil {
		return Event{}, fmt.Errorf("cannot parse uevent: %w", err)
	}
	return e, nil
}

func parse(msg []byte) (Event, error) {
	if bytes.HasPrefix(msg, []byte("libudev")) {
		return Event{}, ErrNotKernel
	}
	if len(msg) > MaxSize {
		return Event{}, fmt.Errorf("%w: %d bytes, want at most %d", ErrSyntax, len(msg), MaxSize)
	}
	text, whole := strings.CutSuffix(string(msg), "\x00")
	if !whole {
		return Event{}, fmt.Errorf("%w: %d bytes without a NUL at the end", ErrSyntax, len(msg))
	}
	parts := strings.Split(text, "\x00")
	header := parts[0]
	action, path, ok := strings.Cut(header, "@")
	if !ok || action == "" {
		return Event{}, fmt.Errorf("%w: header is %.100q, want ACTION@DEVPATH", ErrSyntax, header)
	}
	e := Event{Action: action, DevPath: path}
	if !validDevPath(path) {
		return Event{}, fmt.Errorf("%w: device path is %.100q", ErrSyntax, path)
	}
	if err := e.parseEnv(parts[1:]); err != nil {
		return Event{}, err
	}
	// The kernel says both twice. Whoever says two different things is somebody else.
	if e.Action != action || e.DevPath != path {
		return Event{}, fmt.Errorf("%w: header is %.100q, but the environment has ACTION=%.100q and DEVPATH=%.100q", ErrSyntax, header, e.Action, e.DevPath)
	}
	return e, nil
}

// ParseFile reads the content of a device's uevent file in sysfs, which may be empty. It leaves Action, DevPath and
// Subsystem to the caller, who knows where the file is; the kernel does not write them there. The error wraps
// [ErrSyntax].
func ParseFile(b []byte) (Event, error) {
	var e Event
	err := func() error {
		if len(b) > MaxSize {
			return fmt.Errorf("%w: %d bytes, want at most %d", ErrSyntax, len(b), MaxSize)
		}
		// A CPU's modalias has a newline of its own, so that an empty line follows it.
		lines := strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' })
		return e.parseEnv(lines)
	}()
	if err != nil {
		return Event{}, fmt.Errorf("cannot parse uevent file: %w", err)
	}
	return e, nil
}

// parseEnv takes over env, KEY=VALUE strings.
func (e *Event) parseEnv(env []string) error {
	if n := len(env); n > MaxKeys {
		return fmt.Errorf("%w: %d keys, want at most %d", ErrSyntax, n, MaxKeys)
	} else if n == 0 {
		return nil
	}
	e.Env = env
	for _, kv := range e.Env {
		key, value, ok := strings.Cut(kv, "=")
		if !ok || key == "" || strings.ContainsRune(kv, 0) {
			return fmt.Errorf("%w: got %.100q, want KEY=VALUE", ErrSyntax, kv)
		}
		if !e.set(key, value) {
			return fmt.Errorf("%w: bad value in %.100q", ErrSyntax, kv)
		}
	}
	return nil
}

// set stores a value that has a field, and reports whether it is a possible one. Names that callers put behind /sys or
// /dev must not lead out of there.
func (e *Event) set(key, value string) bool {
	switch key {
	case "ACTION":
		e.Action = value
		return value != ""
	case "DEVPATH":
		e.DevPath = value
		return validDevPath(value)
	case "SUBSYSTEM":
		e.Subsystem = value
		return validRelative(value) && !strings.Contains(value, "/")
	case "DEVNAME":
		e.DevName = value
		return validRelative(value)
	case "DEVTYPE":
		e.DevType = value
	case "MODALIAS":
		e.Modalias = strings.TrimSuffix(value, "\n") // that of a CPU
	case "DRIVER":
		e.Driver = value
	case "MAJOR":
		return setNumber(&e.Major, value, 12)
	case "MINOR":
		return setNumber(&e.Minor, value, 20)
	case "SEQNUM":
		n, err := strconv.ParseUint(value, 10, 64)
		e.Seqnum = n
		return err == nil
	}
	return true
}

// setNumber parses one half of a device number; the kernel has 12 bits for the major and 20 for the minor.
func setNumber(field *int, value string, bits int) bool {
	n, err := strconv.ParseUint(value, 10, bits)
	*field = int(n)
	return err == nil
}

func validDevPath(s string) bool { return strings.HasPrefix(s, "/") && validRelative(s[1:]) }

// validRelative reports whether s is a path that stays below the directory it is joined to.
func validRelative(s string) bool {
	for {
		name, rest, more := strings.Cut(s, "/")
		if name == "" || name == "." || name == ".." {
			return false
		}
		if !more {
			return true
		}
		s = rest
	}
}
