// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package kmsg writes to the kernel's log, from where the booted system's journal takes it over.
//
// Format: Documentation/ABI/testing/dev-kmsg. A record is one write of at most 976 usable bytes, beginning with "<N>".
package kmsg

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// Priority is a syslog level.
type Priority int

// The levels that are used here.
const (
	Err     Priority = 3
	Warning Priority = 4
	Info    Priority = 6
	Debug   Priority = 7
)

// MaxRecord is how much text one record may hold: the kernel cuts at 1,024 bytes less its own prefix.
const MaxRecord = 960

// facility 3 is "daemon": journald takes anything but facility 0 for user space's.
const facility = 3 << 3

// Log is an open /dev/kmsg.
type Log struct {
	mu     sync.Mutex
	f      *os.File
	prefix string
}

// Open opens the log at path, normally /dev/kmsg. Each record begins with prefix and ": ".
func Open(path, prefix string) (*Log, error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open the kernel log: %w", err)
	}
	return &Log{f: f, prefix: prefix}, nil
}

// Print writes a record per line of text. What does not fit into a record goes into the next one. Errors are dropped: there
// is nowhere left to tell them.
func (l *Log) Print(p Priority, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range Split(text) {
		_, _ = fmt.Fprintf(l.f, "<%d>%s: %s\n", facility|int(p), l.prefix, line)
	}
}

// Close closes the log.
func (l *Log) Close() error { return l.f.Close() }

// Split cuts text into lines of at most [MaxRecord] bytes without control characters, at a rune's border.
func Split(text string) []string {
	var out []string
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		line = strings.Map(func(r rune) rune {
			if r == '\t' {
				return ' '
			}
			if r < ' ' || r >= 0x7f && r < 0xa0 {
				return '?'
			}
			return r
		}, line)
		for len(line) > MaxRecord {
			cut := MaxRecord
			for cut > MaxRecord-4 && line[cut]&0xc0 == 0x80 {
				cut--
			}
			out = append(out, line[:cut])
			line = line[cut:]
		}
		out = append(out, line)
	}
	return out
}
