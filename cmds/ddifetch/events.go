// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/fetch"
	"github.com/initddi/initddi/internal/jsontext"
	"github.com/initddi/initddi/internal/nbd"
	"github.com/initddi/initddi/internal/netblock"
	"github.com/initddi/initddi/internal/netconf"
)

// maxEvent is how long a line for storageinit may be, which is what a pipe takes at once.
const maxEvent = 4096

// event is a line for storageinit; docs/ARCHITECTURE.md has the keys of each.
type event struct {
	Event    string `json:"event"`
	Name     string `json:"name,omitempty"`
	URL      string `json:"url,omitempty"`
	Size     *int64 `json:"size,omitempty"`
	SHA256   string `json:"sha256,omitempty"`
	Node     string `json:"node,omitempty"`
	Block    *int64 `json:"block_size,omitempty"`
	Done     *int64 `json:"done,omitempty"`
	Total    *int64 `json:"total,omitempty"`
	Received *int64 `json:"received,omitempty"`
	Code     string `json:"code,omitempty"`
	Text     string `json:"text,omitempty"`

	Interface string   `json:"interface,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	Gateway   string   `json:"gateway,omitempty"`
	DNS       []string `json:"dns,omitempty"`
	How       string   `json:"how,omitempty"`
}

// events tells storageinit what happens: on a pipe for the program, on standard error for its log.
type events struct {
	mu   sync.Mutex
	pipe io.Writer
	log  io.Writer
	last time.Time // of the last progress
}

// newEvents writes to file descriptor 4. A person who has none there sees the lines on standard output.
func newEvents(env environment) *events {
	e := &events{pipe: env.Stdout, log: env.Stderr, last: time.Now()}
	if info, err := env.Events.Stat(); err == nil && info.Mode()&(os.ModeNamedPipe|os.ModeSocket) != 0 {
		e.pipe = env.Events
	}
	return e
}

func (e *events) send(v event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b, err := jsontext.Marshal(v, "")
	if err == nil && len(b) >= maxEvent {
		// Only a text is ever so long.
		v.Text = v.Text[:min(len(v.Text), maxEvent/8)] + "…"
		b, err = jsontext.Marshal(v, "")
	}
	if err == nil {
		// Nobody is told where the pipe is closed: storageinit is gone, and its kill on the way.
		_, _ = e.pipe.Write(append(b, '\n'))
	}
}

func (e *events) candidate(c candidate) {
	v := event{Event: "candidate", Name: c.name, URL: c.url.String(), Size: &c.size}
	if c.sha256 != nil {
		v.SHA256 = fmt.Sprintf("%x", *c.sha256)
	}
	e.send(v)
}

// progress is sent at most once a second.
func (e *events) progress(done, total int64) {
	e.mu.Lock()
	now := time.Now()
	due := now.Sub(e.last) >= time.Second
	if due {
		e.last = now
	}
	e.mu.Unlock()
	if due {
		e.send(event{Event: "progress", Done: &done, Total: &total})
	}
}

func (e *events) done(size, received int64) {
	e.send(event{Event: "done", Size: &size, Received: &received})
}

func (e *events) error(err error) {
	e.send(event{Event: "error", Text: oneLine(err.Error()), Code: codeOf(err)})
}

// codeOf is what storageinit decides on.
func codeOf(err error) string {
	switch {
	case errors.Is(err, netconf.ErrNoNetwork):
		return "no-network"
	case errors.Is(err, fetch.ErrRefused):
		return "refused"
	case errors.Is(err, fetch.ErrTooLarge):
		return "too-large"
	case errors.Is(err, fetch.ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, netblock.ErrNoAnswer):
		return "timeout"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, nbd.ErrNoExport):
		return "not-found"
	}
	return ""
}

// The kernel's priorities, which storageinit's log reads.
func (e *events) warn(text string) { e.say("<4>", text) }
func (e *events) info(text string) { e.say("<6>", text) }

// debug is for --log=debug. All else is told whatever that says: who reads it decides what to show.
func (e *events) debug(text string) { e.say("<7>", text) }

func (e *events) say(priority, text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fmt.Fprintf(e.log, "%s%s\n", priority, oneLine(text))
}

func oneLine(s string) string { return ddi.Printable(strings.ReplaceAll(s, "\n", "; ")) }
