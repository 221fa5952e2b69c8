// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package terminal is how the host commands talk to a person: progress that goes away, colour only where somebody sees it.
package terminal

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Progress shows what a long operation is doing, on one line that is rewritten on a terminal, and as one line a step elsewhere.
// A step whose end is not known shows how long it has taken. It is safe for concurrent use.
type Progress struct {
	mu    sync.Mutex
	w     io.Writer
	live  bool
	what  string
	since time.Time
	last  time.Time
	timer *time.Timer // of a step whose end is not known
}

// NewProgress writes to f, normally standard error.
func NewProgress(f *os.File) *Progress { return &Progress{w: f, live: IsTerminal(f)} }

// Step says what is being done now. total is 0 where it is not known.
func (p *Progress) Step(what string, done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if what != p.what {
		p.finish(now)
		p.what, p.since = what, now
		if !p.live {
			fmt.Fprintln(p.w, what)
		}
		if p.live && total == 0 {
			p.wait()
		}
	}
	if !p.live || now.Sub(p.last) < 100*time.Millisecond && done != total {
		return
	}
	p.last = now
	if total > 0 {
		fmt.Fprintf(p.w, "\r\x1b[K%s %3d%%", what, done*100/total)
	} else {
		fmt.Fprintf(p.w, "\r\x1b[K%s …", what)
	}
}

// wait shows every second how long the step takes, until it ends. The caller holds the lock.
func (p *Progress) wait() {
	what := p.what
	p.timer = time.AfterFunc(time.Second, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.what == what && p.timer != nil {
			fmt.Fprintf(p.w, "\r\x1b[K%s … %.0f s", what, time.Since(p.since).Seconds())
			p.wait()
		}
	})
}

// Done ends the last step.
func (p *Progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish(time.Now())
	p.what = ""
}

func (p *Progress) finish(now time.Time) {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	if p.what != "" && p.live {
		fmt.Fprintf(p.w, "\r\x1b[K%s: %.1f s\n", p.what, now.Sub(p.since).Seconds())
	}
}

// IsTerminal reports whether f is a terminal.
func IsTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	// /dev/null is a character device too, and the one that matters.
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
