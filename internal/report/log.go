// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package report

import (
	"fmt"
	"io"
	"sync"

	"github.com/initddi/initddi/internal/linux/kmsg"
)

// Log sends lines to the kernel's log, and to the console those that the kernel itself would not show there.
type Log struct {
	mu sync.Mutex
	// Kernel is the kernel's log; nil outside of a boot.
	Kernel *kmsg.Log
	// Console shows what Level lets through and the kernel does not print by itself.
	Console io.Writer
	// KernelLevel is the kernel's console_loglevel: it prints what is below.
	KernelLevel kmsg.Priority
	// Level is the least urgent priority that the console shows.
	Level kmsg.Priority
}

// Printf logs one message.
func (l *Log) Printf(p kmsg.Priority, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if l.Kernel != nil {
		l.Kernel.Print(p, text)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Console != nil && p <= l.Level && (l.Kernel == nil || p >= l.KernelLevel) {
		for _, line := range kmsg.Split(text) {
			fmt.Fprintf(l.Console, "initddi: %s\n", line)
		}
	}
}

// Info logs progress.
func (l *Log) Info(format string, args ...any) { l.Printf(kmsg.Info, format, args...) }

// Debug logs detail.
func (l *Log) Debug(format string, args ...any) { l.Printf(kmsg.Debug, format, args...) }

// Warn logs what will surprise somebody.
func (l *Log) Warn(format string, args ...any) { l.Printf(kmsg.Warning, format, args...) }

// Err logs a failure.
func (l *Log) Err(format string, args ...any) { l.Printf(kmsg.Err, format, args...) }
