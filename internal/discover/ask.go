// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package discover

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/resolve"
)

// Patience is how long a disk is waited for that does not answer, before the others are looked at without it. What it says later counts
// all the same.
const Patience = time.Second

// LookPatience is the same for who looks once, and does not ask again.
const LookPatience = 10 * time.Second

// Timeout is how long the boot partition itself is waited for.
const Timeout = time.Minute

// ErrSilent says that a disk was asked something and has not answered yet. It is an [ErrNotReady], too.
var ErrSilent = errors.New("no answer")

// question is something that is being read from a disk. It may never come back: a dying disk is given up by the kernel after minutes,
// or not at all. So a goroutine of its own reads, and nobody needs to wait for that. A read from the page cache can be killed, which keeps
// the thread that waits in it from holding up the next init (execve(2) ends all threads first); closing the disk cannot.
type question struct {
	node  string
	since time.Time
	done  chan struct{}
	err   error // may be read when done is closed
	// listing is the answer to [Machine.List], nil for other questions.
	listing *resolve.Listing
}

// ask begins to read with f, whose results may be used once the question is answered.
func ask(node string, f func() error) *question {
	q := &question{node: node, since: time.Now(), done: make(chan struct{})}
	go func() {
		defer close(q.done)
		q.err = process.Guarded(f)
	}()
	return q
}

// answered reports whether the answer is there.
func (q *question) answered() bool {
	select {
	case <-q.done:
		return true
	default:
		return false
	}
}

// wait waits until the answer is there, but no longer than that after it was asked, and returns what [question.state] does.
func (q *question) wait(patience time.Duration) error {
	if rest := patience - time.Since(q.since); rest > 0 && !q.answered() {
		t := time.NewTimer(rest)
		defer t.Stop()
		select {
		case <-q.done:
		case <-t.C:
		}
	}
	return q.state()
}

// state returns the error that reading ended with, or that it has not ended.
func (q *question) state() error {
	if q.answered() {
		return q.err
	}
	return fmt.Errorf("cannot read /dev/%s: %w for %s: %w", q.node, ErrSilent, time.Since(q.since).Round(time.Second), ErrNotReady)
}

// patience is how long something is waited for that others can go on without.
func (m *Machine) patience() time.Duration { return cmp.Or(m.Patience, Patience) }

// Ask reads something with f that the boot cannot go on without from a node below /dev, and gives up after the machine's Timeout. The error is
// f's or wraps [ErrSilent]; after the latter, f may still be at it: what it sets is not to be looked at. A node that owes an answer is not
// asked anything else: every question that is not answered keeps a thread.
func (m *Machine) Ask(node string, f func() error) error {
	if q := m.asked[node]; q != nil && !q.answered() {
		return q.state()
	}
	q := ask(node, f)
	m.remember(q)
	return q.wait(cmp.Or(m.Timeout, Timeout))
}

func (m *Machine) remember(q *question) {
	if m.asked == nil {
		m.asked = map[string]*question{}
	}
	m.asked[q.node] = q
}

// Silent returns the disks and partitions that have not answered, and since when.
func (m *Machine) Silent() map[string]time.Time {
	out := map[string]time.Time{}
	for node, d := range m.disks {
		if !d.answered() {
			out[node] = d.since
		}
	}
	for node, q := range m.asked {
		if !q.answered() {
			out[node] = q.since
		}
	}
	return out
}
