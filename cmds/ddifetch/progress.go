// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/terminal"
)

// progress shows on a terminal how far a fetch is, on one line that is rewritten: a bar, bytes, rate and the time that is left. Elsewhere
// it only says what does not go straight.
type progress struct {
	w           io.Writer
	live, quiet bool
	what        string

	shown      bool
	last       time.Time
	since      time.Time // of the rate, which is that of the last seconds
	from, rate int64
}

func newProgress(f *os.File, quiet bool) *progress {
	return &progress{w: f, live: terminal.IsTerminal(f) && !quiet, quiet: quiet}
}

// step is told that done bytes of total, 0 if nobody knows, are there.
func (p *progress) step(done, total int64) {
	now := time.Now()
	if done < p.from || p.since.IsZero() {
		p.since, p.from, p.rate = now, done, 0
	}
	if !p.live || now.Sub(p.last) < 100*time.Millisecond && done != total {
		return
	}
	p.last = now
	if d := now.Sub(p.since); d >= time.Second {
		p.rate = int64(float64(done-p.from) / d.Seconds())
		p.since, p.from = now, done
	}
	p.shown = true
	fmt.Fprintf(p.w, "\r\x1b[K%s", line(p.what, done, total, p.rate))
}

// line is what the terminal shows; rate is bytes a second, 0 if it is not known yet.
func line(what string, done, total, rate int64) string {
	const width = 20
	var b strings.Builder
	b.WriteString(what)
	if total > 0 {
		n := int(done * width / total)
		fmt.Fprintf(&b, " [%s%s] %3d%%", strings.Repeat("#", n), strings.Repeat(".", width-n), done*100/total)
	}
	b.WriteString(" " + sizeText(done))
	if rate > 0 {
		fmt.Fprintf(&b, ", %s/s", sizeText(rate))
		if total > 0 {
			fmt.Fprintf(&b, ", %d s left", (total-done+rate-1)/rate)
		}
	}
	return b.String()
}

// note says what did not go straight, on a line of its own.
func (p *progress) note(text string) {
	if p.quiet {
		return
	}
	p.done()
	fmt.Fprintln(p.w, ddi.Printable(text))
}

// done takes the line away.
func (p *progress) done() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.shown, p.since = false, time.Time{}
}

// sizeText writes bytes for people.
func sizeText(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
