// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package terminal

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestProgressElsewhere(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := NewProgress(f)
	p.Step("hashing", 0, 100)
	p.Step("hashing", 50, 100)
	p.Step("hashing", 100, 100)
	p.Step("copying", 0, 0)
	p.Done()
	p.Done()
	p.Step("copying", 0, 0)
	got, err := os.ReadFile(name)
	if want := "hashing\ncopying\ncopying\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestProgressOnATerminal(t *testing.T) {
	var b bytes.Buffer
	p := &Progress{w: &b, live: true}
	for i := range 1000 {
		p.Step("hashing", int64(i), 1000)
	}
	p.Step("hashing", 1000, 1000)
	p.Step("copying", 0, 0)
	p.Done()
	got := b.String()
	// A thousand steps within a moment are shown as a few; the last one always.
	want := regexp.MustCompile(`^\r\x1b\[Khashing   0%(\r\x1b\[Khashing +\d+%){0,3}\r\x1b\[Khashing 100%\r\x1b\[Khashing: \d+\.\d s\n(\r\x1b\[Kcopying …)?\r\x1b\[Kcopying: \d+\.\d s\n$`)
	if !want.MatchString(got) {
		t.Errorf("got %q", got)
	}
}

// locked is a buffer that two goroutines can use.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestProgressOfALongStep: somebody who waits sees that time passes, and nothing more once the step is over.
func TestProgressOfALongStep(t *testing.T) {
	b := &locked{}
	p := &Progress{w: b, live: true}
	p.Step("booting", 0, 0)
	for range 100 {
		if strings.Contains(b.String(), "booting … 1 s") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.Done()
	done := b.String()
	if !strings.Contains(done, "booting … 1 s") {
		t.Errorf("got %q", done)
	}
	time.Sleep(1200 * time.Millisecond)
	if got := b.String(); got != done {
		t.Errorf("it goes on: %q", got[len(done):])
	}
}

// TestProgressConcurrently is for the race detector.
func TestProgressConcurrently(t *testing.T) {
	var b bytes.Buffer
	p := &Progress{w: &b, live: true}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 100 {
				p.Step("x", int64(i), 100)
			}
			p.Done()
		})
	}
	all.Wait()
}

func TestIsTerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	closed, _ := os.Open(os.DevNull)
	closed.Close()
	for name, f := range map[string]*os.File{"file": f, "null": null, "pipe": w, "closed": closed} {
		if IsTerminal(f) {
			t.Errorf("%s is a terminal", name)
		}
	}
	if tty, err := os.Open("/dev/ptmx"); err == nil {
		defer tty.Close()
		if !IsTerminal(tty) {
			t.Error("/dev/ptmx is none")
		}
	}
}
