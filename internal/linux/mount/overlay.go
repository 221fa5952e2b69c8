// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package mount

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Overlay describes an overlay of directories.
type Overlay struct {
	Source  string   // what /proc/mounts shall show
	Lower   []string // directories, the topmost first
	Upper   string   // directory that is written to; empty if there is none
	Work    string   // directory on the same file system, if there is one
	Options []string // KEY=VALUE
	Attr    int      // or of the attribute constants
}

// maxValue is the most bytes that fsconfig takes as a value, without the end of the string.
const maxValue = 255

// AttachAt mounts the overlay at the directory at. Layers must be visible in the namespace of the calling thread; afterwards they
// need not be any more.
func (o *Overlay) AttachAt(at string) error {
	var held []*os.File
	defer func() {
		for _, f := range held {
			f.Close()
		}
	}()
	// A path that is too long, or has characters that mean something in a list of layers, goes by a descriptor.
	name := func(p string) (string, error) {
		if len(p) <= maxValue && !strings.ContainsAny(p, "\\:,") {
			return p, nil
		}
		f, err := os.OpenFile(p, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return "", fmt.Errorf("cannot open the layer: %w", err)
		}
		held = append(held, f)
		return fmt.Sprintf("/proc/thread-self/fd/%d", f.Fd()), nil
	}
	var lower []string
	for _, p := range o.Lower {
		n, err := name(p)
		if err != nil {
			return err
		}
		lower = append(lower, n)
	}
	var options []Option
	for _, d := range []Option{{"upperdir", o.Upper}, {"workdir", o.Work}} {
		if d.Value == "" {
			continue
		}
		n, err := name(d.Value)
		if err != nil {
			return err
		}
		options = append(options, Option{d.Key, n})
	}
	for _, text := range o.Options {
		key, value, _ := strings.Cut(text, "=")
		options = append(options, Option{key, value})
	}
	return o.attach(at, lower, options)
}

func (o *Overlay) attach(at string, lower []string, options []Option) error {
	r := Request{Type: "overlay", Source: o.Source, Attr: o.Attr}
	for _, l := range lower {
		r.Options = append(r.Options, Option{"lowerdir+", l})
	}
	r.Options = append(r.Options, options...)
	m, err := New(r)
	switch {
	case errors.Is(err, unix.EINVAL) && strings.Contains(err.Error(), ": lowerdir+:"):
		return o.attachOld(at, lower, options) // before Linux 6.8
	case err != nil:
		return err
	}
	return errors.Join(m.Attach(at), m.Close())
}

// maxData is the most bytes that mount(2) takes as options.
const maxData = 4095

// attachOld is attach for a kernel that takes all layers in one option.
func (o *Overlay) attachOld(at string, lower []string, options []Option) error {
	var flags uintptr
	for _, f := range [...]struct {
		attr int
		flag uintptr
	}{{ReadOnly, unix.MS_RDONLY}, {NoSuid, unix.MS_NOSUID}, {NoDev, unix.MS_NODEV}, {NoExec, unix.MS_NOEXEC}, {NoAtime, unix.MS_NOATIME}} {
		if o.Attr&f.attr != 0 {
			flags |= f.flag
		}
	}
	data := "lowerdir=" + strings.Join(lower, ":")
	for _, opt := range options {
		data += "," + opt.Key
		if opt.Value != "" {
			data += "=" + opt.Value
		}
	}
	if len(data) > maxData {
		return fmt.Errorf("cannot mount an overlay at %s: this kernel takes %d bytes of options, its layers need %d: %w", at, maxData, len(data), unix.E2BIG)
	}
	if err := unix.Mount(o.Source, at, "overlay", flags, data); err != nil {
		return fmt.Errorf("cannot mount an overlay at %s (%s): %w", at, data, err)
	}
	return nil
}
