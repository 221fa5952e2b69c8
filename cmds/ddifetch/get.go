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
	"path/filepath"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/fetch"
	"github.com/initddi/initddi/internal/jsontext"
	"github.com/initddi/initddi/internal/weburl"
)

// print writes v as JSON where that was asked for, and else calls text.
func (o *options) print(w io.Writer, v any, text func()) error {
	if o.json == "off" {
		text()
		return nil
	}
	indent := ""
	if o.json == "pretty" {
		indent = "\t"
	}
	b, err := jsontext.Marshal(v, indent)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", b)
	return err
}

// fetched is what came of "ddifetch URL".
type fetched struct {
	File string `json:"file"`
	URL  string `json:"url"`
	Size int64  `json:"size"` // bytes
	// SHA256 is that of the index, which the file has; empty without an index.
	SHA256    string   `json:"sha256,omitempty"`
	Beside    []string `json:"beside,omitempty"` // files that were beside it
	Received  int64    `json:"received"`         // bytes that came over the network
	Resumed   int      `json:"resumed"`
	Restarted int      `json:"restarted"`
	Seconds   string   `json:"seconds"`
}

// getter fetches an image into a file.
type getter struct {
	o        *options
	c        *fetch.Client
	progress *progress
}

func runGet(ctx context.Context, env environment, args []string) error {
	o, err := parseWeb(args, (*options).defineGet)
	if err != nil {
		return err
	}
	urls, isIndex, err := o.urls()
	if err != nil {
		return err
	}
	g := &getter{o: o, progress: newProgress(env.Stderr, o.quiet)}
	if g.c, err = o.client(g.progress); err != nil {
		return err
	}
	defer g.c.Close()
	began := time.Now()
	var f *fetched
	if isIndex {
		f, err = g.newest(ctx, urls)
	} else {
		f, err = g.image(ctx, urls, nil, nil)
	}
	g.progress.done()
	if err != nil {
		return err
	}
	took := time.Since(began)
	f.Received, f.Seconds = g.c.Received(), fmt.Sprintf("%.3f", took.Seconds())
	return o.print(env.Stdout, f, func() {
		fmt.Fprintf(env.Stdout, "%s: %s in %.1f s from %s\n", f.File, sizeText(f.Size), took.Seconds(), f.URL)
		for _, name := range f.Beside {
			fmt.Fprintf(env.Stdout, "%s: beside it\n", name)
		}
	})
}

// newest fetches the best image of the first index that there is.
func (g *getter) newest(ctx context.Context, urls []weburl.URL) (*fetched, error) {
	p, err := g.o.plan()
	if err != nil {
		return nil, err
	}
	var errs fetch.FailedError
	for _, u := range urls {
		g.progress.what = "reading the index"
		index, err := g.c.Index(ctx, u, p, g.o.arch)
		if err == nil && len(index.Images) == 0 {
			err = fmt.Errorf("cannot fetch %v: the index has no image for this machine%s", u, called(g.o.image))
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		best := index.Images[0]
		f, err := g.image(ctx, []weburl.URL{best.URL}, &best.SHA256, best.Beside)
		if err == nil {
			return f, nil
		}
		errs = append(errs, err)
		if errors.Is(err, errStore) {
			break
		}
	}
	return nil, either(errs)
}

func called(pattern string) string {
	if pattern == "" {
		return ""
	}
	return " that is called " + pattern
}

// either returns the only error as it is.
func either(errs fetch.FailedError) error {
	if len(errs) == 1 {
		return errs[0]
	}
	return errs
}

// image fetches an image and what lies beside it. beside are the names of those, nil if nobody knows.
func (g *getter) image(ctx context.Context, urls []weburl.URL, want *[32]byte, beside []string) (*fetched, error) {
	name := urls[0].Name()
	if name == "" || strings.ContainsAny(name, "/\x00") || name[0] == '.' {
		return nil, fmt.Errorf("cannot fetch %v: %q is no name for a file", urls[0], name)
	}
	file := g.o.output
	if file == "" {
		file = name
	} else if info, err := os.Stat(file); err == nil && info.IsDir() {
		file = filepath.Join(file, name)
	}
	g.progress.what = "fetching " + name
	r, err := g.store(ctx, file, fetch.File{URLs: urls, Limit: g.o.limit, SHA256: want})
	if err != nil {
		return nil, err
	}
	f := &fetched{File: file, URL: r.URL.String(), Size: r.Size, Resumed: r.Resumed, Restarted: r.Restarted}
	if want != nil {
		f.SHA256 = fmt.Sprintf("%x", *want)
	}
	if g.o.alone {
		return f, nil
	}
	for _, suffix := range fetch.SidecarSuffixes() {
		other := fetch.Stem(name) + suffix
		if want != nil && !contains(beside, other) {
			continue
		}
		g.progress.what = "fetching " + other
		to := fetch.Stem(file) + suffix
		_, err := g.store(ctx, to, fetch.File{URLs: []weburl.URL{r.URL.Beside(other)}, Limit: g.o.limit})
		switch {
		case errors.Is(err, fs.ErrNotExist) && want == nil:
			continue
		case err != nil:
			return nil, err
		}
		f.Beside = append(f.Beside, to)
	}
	return f, nil
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// errStore says that the failure was on this side.
var errStore = errors.New("cannot write the file")

// store fetches a file and gives it its name when it is whole.
func (g *getter) store(ctx context.Context, name string, file fetch.File) (r *fetch.Result, err error) {
	if _, err := os.Lstat(name); err == nil && !g.o.force {
		return nil, fmt.Errorf("%w %s: it exists; --force replaces it", errStore, name)
	}
	part, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", errStore, name, err)
	}
	defer func() {
		if err != nil {
			os.Remove(part.Name())
		}
	}()
	r, err = g.c.Get(ctx, file, part)
	if cerr := errors.Join(part.Chmod(0o644), part.Close()); err == nil && cerr != nil {
		err = fmt.Errorf("%w %s: %w", errStore, name, cerr)
	}
	if err != nil {
		return nil, err
	}
	if err := os.Rename(part.Name(), name); err != nil {
		return nil, fmt.Errorf("%w %s: %w", errStore, name, err)
	}
	return r, nil
}
