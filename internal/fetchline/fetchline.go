// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package fetchline reads the lines that ddifetch, the program that reaches servers, says to storageinit: docs/ARCHITECTURE.md,
// "storageinit and ddifetch".
package fetchline

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/initddi/initddi/internal/jsontext"
)

// MaxLine bounds a line, its newline included, in bytes: what a pipe takes at once.
const MaxLine = 4096

// maxMembers bounds the keys of one event; there are five.
const maxMembers = 32

// ErrLine says that a line is no event.
var ErrLine = errors.New("not a line of ddifetch's")

// Kind is what an event is about. Others than these are to be ignored.
type Kind string

// The kinds.
const (
	Network   Kind = "network"
	Candidate Kind = "candidate"
	Progress  Kind = "progress"
	Device    Kind = "device"
	Done      Kind = "done"
	Error     Kind = "error"
)

// NotFound is the code of an error that says that a server has no such file.
const NotFound = "not-found"

// Event is one line. Which fields have a meaning, the kind says; what a line does not have is zero.
type Event struct {
	Kind Kind
	// Name and URL are those of a candidate, SHA256 what an index says its bytes are, 64 hexadecimal digits.
	Name, URL, SHA256 string
	Size, BlockSize   int64 // bytes
	Done, Total       int64
	Received          int64
	Node              string // of a device, below /dev
	Interface         string // of a network
	How               string
	Text, Code        string // of an error
}

// Parse reads a line, with or without its newline. The error wraps [ErrLine]: it is no JSON object with a key "event", is longer than
// [MaxLine], or has a value that its key cannot have.
func Parse(line []byte) (Event, error) {
	var e Event
	if len(line) > MaxLine {
		return e, fmt.Errorf("%w: more than %d bytes", ErrLine, MaxLine)
	}
	members, err := jsontext.Object(line, maxMembers)
	if err != nil {
		return e, fmt.Errorf("%w: %w", ErrLine, err)
	}
	for _, m := range members {
		if err := e.set(m); err != nil {
			return Event{}, fmt.Errorf("%w: key %q: %w", ErrLine, m.Name, err)
		}
	}
	switch {
	case e.Kind == "":
		return Event{}, fmt.Errorf("%w: no key event", ErrLine)
	case e.Kind == Candidate && (e.Name == "" || e.URL == ""):
		return Event{}, fmt.Errorf("%w: a candidate without a name or a URL", ErrLine)
	}
	return e, nil
}

func (e *Event) set(m jsontext.Member) (err error) {
	text := map[string]*string{"name": &e.Name, "url": &e.URL, "sha256": &e.SHA256, "node": &e.Node, "interface": &e.Interface, "how": &e.How, "text": &e.Text, "code": &e.Code}
	numbers := map[string]*int64{"size": &e.Size, "block_size": &e.BlockSize, "done": &e.Done, "total": &e.Total, "received": &e.Received}
	switch {
	case m.Name == "event":
		var s string
		s, err = jsontext.String(m.Value)
		e.Kind = Kind(s)
	case text[m.Name] != nil:
		*text[m.Name], err = jsontext.String(m.Value)
	case numbers[m.Name] != nil:
		*numbers[m.Name], err = strconv.ParseInt(string(m.Value), 10, 64)
		if err == nil && *numbers[m.Name] < 0 {
			err = strconv.ErrRange
		}
	}
	if err == nil && m.Name == "sha256" {
		if b, herr := hex.DecodeString(e.SHA256); herr != nil || len(b) != 32 {
			err = errors.New("not 64 hexadecimal digits")
		}
	}
	return err
}
