// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package mountinfo reads /proc/PID/mountinfo, see proc_pid_mountinfo(5): the mounts of a mount namespace, in the order in which they were made.
//
// Names of mount points come from whoever made the directories: everything but the numbers may hold any bytes, which the kernel
// writes as octal escapes where they would end a field.
package mountinfo

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrSyntax says that a line is not one of mountinfo.
var ErrSyntax = errors.New("not a line of mountinfo")

// Mount is one line.
type Mount struct {
	ID, Parent   uint64
	Major, Minor uint32
	Root         string // of the mount within its file system
	Point        string // where it is mounted, seen from the process's root
	Options      string // of the mount
	Type, Source string // of the file system
	SuperOptions string
}

// Parse reads the text of a whole file. The error wraps [ErrSyntax] and says which line it is.
func Parse(text string) ([]Mount, error) {
	var out []Mount
	for n := 1; text != ""; n++ {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		m, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("cannot read line %d: %w", n, err)
		}
		out = append(out, m)
	}
	return out, nil
}

func parseLine(line string) (Mount, error) {
	// Optional fields are between the mount's options and a lone "-".
	before, after, ok := strings.Cut(line, " - ")
	first, last := strings.Split(before, " "), strings.Split(after, " ")
	if !ok || len(first) < 6 || len(last) < 3 {
		return Mount{}, ErrSyntax
	}
	m := Mount{
		Root: unescape(first[3]), Point: unescape(first[4]), Options: unescape(first[5]),
		Type: unescape(last[0]), Source: unescape(last[1]), SuperOptions: unescape(last[2]),
	}
	var errs [4]error
	m.ID, errs[0] = strconv.ParseUint(first[0], 10, 64)
	m.Parent, errs[1] = strconv.ParseUint(first[1], 10, 64)
	major, minor, ok := strings.Cut(first[2], ":")
	a, err := strconv.ParseUint(major, 10, 32)
	errs[2] = err
	b, err := strconv.ParseUint(minor, 10, 32)
	errs[3] = err
	m.Major, m.Minor = uint32(a), uint32(b)
	if err := errors.Join(errs[:]...); err != nil || !ok {
		return Mount{}, ErrSyntax
	}
	return m, nil
}

// unescape replaces a backslash with three octal digits by the byte that they stand for.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
