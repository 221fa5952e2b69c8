// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/predict"
	"github.com/initddi/initddi/vmtest/guest"
)

// Outcome is what a machine left behind.
type Outcome struct {
	Console string
	// Report is what came over the second serial port.
	Report string
	// TimedOut says that the machine was still running at the cell's limit.
	TimedOut bool
	// Unsaid is the first line of the dialogue that was never said, because its sentence did not come.
	Unsaid string
	// Served is what the servers of the network wrote, by name.
	Served map[string]string
	// Predicted is what must have been measured, nil where nothing is expected.
	Predicted []predict.Step
	// After is what is wrong with the disks that the machine left.
	After []string
	Took  time.Duration
}

// Sentences that tell the verdicts apart. They are stage 1's and the marker's.
const (
	sentenceRefused = "cannot boot:"
	// A shell because of ddi.break=, and one because of ddi.fail=.
	sentenceStopped = ": a shell; leave it"
	sentenceShell   = "a shell: leave it"
	sentenceDebian  = "multi-user-usec="
	// What systemd says when it begins to be PID 1, before a person could log in.
	sentenceWelcome = "Welcome to Debian"
	// The same in an initrd, for one that gets no further.
	sentenceInitrd  = "Booting initrd of"
	sentenceCorrupt = "Restarting system with command 'dm-verity"
	// The kernel's, for ddi.corruption=panic.
	sentenceFatal = sentencePanic + " - not syncing: dm-verity device corrupted"
)

const sentencePanic = "Kernel panic"

// never lists what no console may show, whatever the cell is about.
func never() []string {
	return []string{sentencePanic, "BUG: ", "Oops: ", "internal error", "fatal error:", "goroutine 1 [", "cannot receive a uevent"}
}

// escapes matches what a terminal acts upon instead of showing: CSI and OSC sequences, and the short ones.
var escapes = regexp.MustCompile(`\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])`)

// Text returns a console as a person reads it: without escape sequences and carriage returns.
func Text(console string) string {
	return strings.ReplaceAll(escapes.ReplaceAllString(console, ""), "\r", "")
}

// verdict says how the boot ended.
func (o *Outcome) verdict() Verdict {
	text := Text(o.Console)
	_, err := facts(o.Report)
	switch {
	case o.TimedOut:
		return Neither
	case strings.Contains(text, sentenceCorrupt):
		return Restarted
	case strings.Contains(text, sentenceFatal):
		return Panicked
	case strings.Contains(text, guest.Sentence), err == nil, strings.Contains(o.Report, sentenceDebian), strings.Contains(text, sentenceWelcome), strings.Contains(text, sentenceInitrd):
		return Entered
	case strings.Contains(text, sentencePanic):
		return Neither
	}
	// A boot can be refused behind a shell, and a shell can come of a refusal: what was said last is how it ended.
	shell := max(strings.LastIndex(text, sentenceStopped), strings.LastIndex(text, sentenceShell))
	refused := strings.LastIndex(text, sentenceRefused)
	switch {
	case shell > refused:
		return Shell
	case refused >= 0:
		return Refused
	}
	return Neither
}

// read returns how much was read of the disks when the marker began, 0 if it did not say.
func (o *Outcome) read() (n int64) {
	f, err := facts(o.Report)
	if err != nil {
		return 0
	}
	for _, bytes := range f.Read {
		n += bytes
	}
	return n
}

// Judge returns what is wrong with the outcome of a cell, nothing if it is as it must be. The cell's placeholders must be
// filled in.
func Judge(c *Cell, o *Outcome) []string {
	var wrong []string
	fail := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if o.TimedOut {
		fail("still running after %s", o.Took.Round(time.Second))
	}
	if got := o.verdict(); got != c.Verdict {
		fail("the boot is %s, wanted %s", got, c.Verdict)
	}
	text := Text(o.Console)
	if o.Unsaid != "" {
		fail("the console never showed %q, so nothing was typed", o.Unsaid)
	}
	wrong = append(wrong, inOrder(text, c.Must)...)
	for _, s := range slices.Concat(never(), c.MustNot) {
		if s == sentencePanic && c.Verdict == Panicked {
			continue
		}
		if i := strings.Index(text, s); i >= 0 {
			fail("the console shows %q", firstLine(text[i:]))
		}
	}
	if c.Served != nil {
		wrong = append(wrong, c.Served(o.Served)...)
	}
	if c.Check != nil || o.Predicted != nil {
		f, err := facts(o.Report)
		if err != nil {
			fail("%v", err)
		} else {
			if c.Check != nil {
				wrong = append(wrong, c.Check(f)...)
			}
			if o.Predicted != nil {
				wrong = append(wrong, judgeTPM(c, o.Predicted, f)...)
			}
		}
	}
	wrong = append(wrong, o.After...)
	if c.Look != nil {
		wrong = append(wrong, c.Look(text)...)
	}
	if c.Report != nil {
		wrong = append(wrong, c.Report(o.Report)...)
	}
	return wrong
}

// inOrder looks for the sentences one behind the other, and says for one that is not there whether it came too early.
func inOrder(text string, must []string) []string {
	var wrong []string
	rest := text
	for _, s := range must {
		i := strings.Index(rest, s)
		switch {
		case i >= 0:
			rest = rest[i+len(s):]
		case strings.Contains(text, s):
			wrong = append(wrong, fmt.Sprintf("the console shows %q too early", s))
		default:
			wrong = append(wrong, fmt.Sprintf("the console does not show %q", s))
		}
	}
	return wrong
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	const longest = 200
	if len(line) > longest {
		line = line[:longest] + "…"
	}
	return line
}

// facts reads the marker's report, a line of JSON.
func facts(report string) (*guest.Facts, error) {
	for line := range strings.Lines(report) {
		// The firmware has written there, too.
		if !strings.HasPrefix(line, "{") {
			continue
		}
		f := &guest.Facts{}
		if err := json.Unmarshal([]byte(line), f); err != nil {
			return nil, fmt.Errorf("cannot read the marker's report: %w", err)
		}
		return f, nil
	}
	return nil, errors.New("the marker did not report")
}

// reported returns what a booted system wrote to its second serial port, as lines "key=value".
func reported(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.SplitSeq(text, "\n") {
		if k, v, ok := strings.Cut(strings.TrimRight(line, "\r"), "="); ok {
			out[k] = v
		}
	}
	return out
}
