// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build !noservers

package stage1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/initddi/initddi/internal/fetchline"
	"github.com/initddi/initddi/internal/linux/kmsg"
	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/report"
)

// How long a run of ddifetch may take. It keeps to ddi.timeout= itself, and is killed if it does not.
const (
	fetchGrace = 5 * time.Second
	// endGrace is how long it may take to end once it is killed. It does not where the kernel waits for something on its behalf.
	endGrace = 5 * time.Second
	// slowest is what a server has to deliver, in bytes a second.
	slowest = 64 << 10
	// endless stands for ddi.timeout=infinity.
	endless = 365 * 24 * time.Hour
)

// FetchError is what ddifetch says of a run that did not do what it was asked. One about a file that the server does not have is
// [fs.ErrNotExist].
type FetchError struct{ Text, Code string }

func (e *FetchError) Error() string { return e.Text }

// Is reports whether the server has no such file, to [errors.Is].
func (e *FetchError) Is(target error) bool {
	return target == fs.ErrNotExist && e.Code == fetchline.NotFound
}

// fetcher runs ddifetch, the program that reaches servers.
type fetcher struct {
	path string
	plan *plan.Plan
	log  *report.Log
}

// run runs "ddifetch boot" with these arguments and those that are in every run, with image as descriptor 3, and tells on of every event but
// the last, which it returns. At most about the time of ddi.timeout= passes, and for size bytes in addition what they may take; a run that
// takes longer is killed, and left alone if it does not end. The error is a [FetchError] if ddifetch says what went wrong.
func (f *fetcher) run(image *os.File, size int64, on func(fetchline.Event), args ...string) (last fetchline.Event, err error) {
	timeout := min(f.plan.Timeout, endless)
	argv := append([]string{f.path, "boot", "--ip=" + f.plan.Network.String(), "--log=" + string(f.plan.Log),
		"--timeout=" + strconv.FormatInt(int64(math.Ceil(timeout.Seconds())), 10)}, args...)
	null, err := os.Open(os.DevNull)
	if err != nil {
		return last, fmt.Errorf("cannot run %s: %w", f.path, err)
	}
	defer null.Close()
	said := &listener{log: f.log, path: f.path}
	spoken := ""
	logs, err := said.follow(func(line []byte) {
		p, text := priorityOf(line)
		spoken = text
		f.log.Printf(p, "ddifetch: %s", text)
	})
	if err != nil {
		return last, err
	}
	events, err := said.follow(func(line []byte) {
		e, err := fetchline.Parse(line)
		switch {
		case err != nil:
			f.log.Debug("ddifetch: %v", err)
		case e.Kind == fetchline.Done, e.Kind == fetchline.Error:
			last = e
		default:
			on(e)
		}
	})
	if err != nil {
		logs.Close()
		said.wait()
		return last, err
	}
	child, err := process.Start(argv, []string{"HOME=/", "PATH=/bbin"}, []*os.File{null, logs, logs, image, events})
	logs.Close()
	events.Close()
	if err != nil {
		said.wait()
		return last, err
	}
	limit := timeout + time.Duration(min(size/slowest, int64(endless/time.Second)))*time.Second + fetchGrace
	ended, late, err := f.end(child, limit)
	if err != nil {
		said.stop()
		return fetchline.Event{}, err
	}
	said.wait()
	switch {
	case last.Kind == fetchline.Error:
		return last, &FetchError{last.Text, last.Code}
	case late:
		return last, fmt.Errorf("cannot fetch: %s was not done after %s, and was ended", f.path, limit)
	case ended != nil:
		return last, fmt.Errorf("cannot fetch: %s ended with %w: %s", f.path, ended, spoken)
	case last.Kind != fetchline.Done:
		return last, fmt.Errorf("cannot fetch: %s said nothing of what came of it: %w", f.path, io.ErrUnexpectedEOF)
	}
	return last, nil
}

// running is a program that was started.
type running interface {
	Kill() error
	Wait() error
}

// end waits for the end of a program, and kills it if that takes longer than limit. It says how the program ended and whether it was too
// late; the error is about one that cannot be ended.
func (f *fetcher) end(child running, limit time.Duration) (ended error, late bool, err error) {
	done := make(chan error, 1)
	go func() { done <- child.Wait() }()
	select {
	case ended := <-done:
		return ended, false, nil
	case <-time.After(limit):
	}
	_ = child.Kill()
	select {
	case ended := <-done:
		return ended, true, nil
	case <-time.After(endGrace):
		return nil, true, fmt.Errorf("cannot fetch: %s was not done after %s and cannot be ended: the kernel waits for a device that does not answer; the boot goes on without it", f.path, limit)
	}
}

// listener follows what a program says.
type listener struct {
	log  *report.Log
	path string
	ends []*os.File
	all  sync.WaitGroup
}

// follow returns where the program is to write lines to, and calls line with each.
func (l *listener) follow(line func([]byte)) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot run %s: %w", l.path, err)
	}
	l.ends = append(l.ends, r)
	l.all.Go(func() {
		defer r.Close()
		if err := process.Guarded(func() error { return eachLine(r, line) }); err != nil && !errors.Is(err, os.ErrClosed) {
			l.log.Warn("cannot follow %s: %v", l.path, err)
		}
	})
	return w, nil
}

// wait waits until the program has said everything.
func (l *listener) wait() { l.all.Wait() }

// stop ends the following of a program that may go on saying something.
func (l *listener) stop() {
	for _, r := range l.ends {
		r.Close()
	}
	l.all.Wait()
}

// eachLine calls do with every line, without its newline. What is longer than a line of ddifetch's may be is cut.
func eachLine(r io.Reader, do func([]byte)) error {
	in := bufio.NewReaderSize(r, fetchline.MaxLine)
	for {
		line, err := in.ReadSlice('\n')
		if len(line) > 0 {
			do(bytes.TrimSuffix(line, []byte("\n")))
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = in.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err != nil {
			return nil
		}
	}
}

// priorityOf takes the kernel's priority, "<4>", off the front of a line; a line without is a warning.
func priorityOf(line []byte) (kmsg.Priority, string) {
	if len(line) >= 3 && line[0] == '<' && '0' <= line[1] && line[1] <= '7' && line[2] == '>' {
		return kmsg.Priority(line[1] - '0'), string(line[3:])
	}
	return kmsg.Warning, string(line)
}
