// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"time"

	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/efivar"
	"github.com/initddi/initddi/internal/fetch"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/linux/efivarfs"
	"github.com/initddi/initddi/internal/linux/memfile"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/weburl"
)

// The file descriptors of "ddifetch boot".
const (
	imageFD = 3
	eventFD = 4
)

// maxCandidates is how many images a list may have.
const maxCandidates = 256

// bootOptions is the command line of storageinit.
type bootOptions struct {
	source  string
	list    bool
	get     string
	urls    []string
	ip      string
	timeout time.Duration
	memory  int64
	sha256  *[32]byte
	log     string
}

func parseBoot(args []string) (*bootOptions, error) {
	o := &bootOptions{log: "info"}
	flags := flag.NewFlagSet("boot", flag.ContinueOnError)
	o.define(flags)
	rest, err := parse(flags, args)
	if err != nil {
		return nil, err
	}
	switch {
	case len(rest) > 0, o.list == (o.get != ""), o.timeout == 0, o.get != "" && o.source == "http" && o.memory == 0:
		return nil, fmt.Errorf("boot takes --list or --get=URL, from http with --memory=BYTES, and --timeout=SECONDS; %w", errUsage)
	case o.source != "http" && o.source != "nbd":
		return nil, fmt.Errorf("cannot fetch from source %q: only http and nbd; %w", o.source, errUsage)
	}
	return o, nil
}

func (o *bootOptions) define(flags *flag.FlagSet) {
	flags.StringVar(&o.source, "source", "", "")
	flags.BoolVar(&o.list, "list", false, "")
	flags.StringVar(&o.get, "get", "", "")
	flags.StringVar(&o.ip, "ip", "dhcp", "")
	flags.Func("log", "", func(s string) error {
		if o.log = s; s != "err" && s != "info" && s != "debug" {
			return errors.New("it takes err, info or debug")
		}
		return nil
	})
	flags.Func("url", "", func(s string) error {
		o.urls = append(o.urls, s)
		return nil
	})
	flags.Func("timeout", "", func(s string) (err error) {
		o.timeout, err = parseTime(s)
		return err
	})
	flags.Func("memory", "", func(s string) (err error) {
		o.memory, err = parseSize(s)
		return err
	})
	flags.Func("sha256", "", func(s string) error {
		b, err := hex.DecodeString(s)
		if err != nil || len(b) != 32 {
			return errors.New("it takes 64 hexadecimal digits")
		}
		o.sha256 = (*[32]byte)(b)
		return nil
	})
}

// runBoot does what storageinit asks for and tells it what came of that.
func runBoot(ctx context.Context, env environment, args []string) error {
	o, err := parseBoot(args)
	if err != nil {
		return err
	}
	e := newEvents(env)
	b := &booter{o: o, env: env, events: e}
	if o.source == "nbd" {
		return b.runNBD(ctx)
	}
	cas, err := fetch.ReadCAs(fetch.CAFile, true)
	if err == nil {
		err = b.network(ctx)
	}
	if err == nil {
		opt := fetch.Options{Timeout: o.timeout, CAs: cas, Progress: e.progress, Note: e.warn}
		if o.log == "debug" {
			opt.Trace = e.debug
		}
		b.c = fetch.New(opt)
		defer b.c.Close()
		if o.list {
			err = b.list(ctx)
		} else {
			err = b.get(ctx)
		}
	}
	if err != nil {
		e.error(err)
		return errReported
	}
	e.done(b.size, b.c.Received())
	return nil
}

// booter is one run.
type booter struct {
	o      *bootOptions
	env    environment
	c      *fetch.Client
	events *events
	size   int64 // what was fetched
}

// get fetches one file into the descriptor and seals it.
func (b *booter) get(ctx context.Context) error {
	u, err := weburl.Parse(b.o.get)
	if err != nil {
		return fmt.Errorf("cannot fetch: %w", err)
	}
	to := b.env.Image
	if info, err := to.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() != 0 {
		return fmt.Errorf("cannot fetch %v: file descriptor %d is no empty file", u, imageFD)
	}
	r, err := b.c.Get(ctx, fetch.File{URLs: []weburl.URL{u}, Limit: b.o.memory, SHA256: b.o.sha256}, to)
	if err != nil {
		return err
	}
	if err := memfile.Seal(to); err != nil {
		return fmt.Errorf("cannot fetch %v: %w", u, err)
	}
	b.size = r.Size
	return nil
}

// grace is how long the other URLs are waited for once one has images.
const grace = 3 * time.Second

// list asks all URLs at once, because one that does not answer must not take the others' time, and says what they have in the order of the URLs.
func (b *booter) list(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, b.o.timeout, fetch.ErrTimeout)
	defer cancel()
	p, err := ddi.ReadTrust([]string{b.env.Trust}, true)
	if err != nil {
		return err
	}
	urls, err := b.urls()
	if err != nil {
		return err
	}
	ctx, late := context.WithCancelCause(ctx)
	defer late(nil)
	answers := make([]chan answer, len(urls))
	for i, u := range urls {
		answers[i] = make(chan answer, 1)
		go func() {
			images, err := b.ask(ctx, u, p)
			if err == nil && len(images) > 0 {
				time.AfterFunc(grace, func() { late(errLate) })
			}
			answers[i] <- answer{images, err}
		}()
	}
	n := 0
	var errs fetch.FailedError
	for _, c := range answers {
		a := <-c
		if a.err != nil {
			errs = append(errs, a.err)
		}
		for _, image := range a.images[:min(len(a.images), maxCandidates-n)] {
			b.events.candidate(image)
			n++
		}
	}
	if n == 0 {
		return either(errs)
	}
	for _, err := range errs {
		b.events.warn(err.Error())
	}
	return nil
}

// errLate says that another server was faster.
var errLate = errors.New("another server has answered")

type answer struct {
	images []candidate
	err    error
}

// candidate is an image that a server has.
type candidate struct {
	name   string
	url    weburl.URL
	size   int64
	sha256 *[32]byte
}

// ask returns what there is at a URL: the images of an index, or the one that it names.
func (b *booter) ask(ctx context.Context, u weburl.URL, p *plan.Plan) ([]candidate, error) {
	if !u.IsIndex() {
		size, err := b.c.Size(ctx, u)
		if err != nil {
			return nil, err
		}
		return []candidate{{name: u.Name(), url: u, size: size}}, nil
	}
	arch, _ := gpt.ArchOf(runtime.GOARCH)
	index, err := b.c.Index(ctx, u, p, string(arch))
	if err != nil {
		return nil, err
	}
	b.events.info(fmt.Sprintf("index of %v: %d images for this machine, signed by %v", u, len(index.Images), index.Signer))
	var out []candidate
	for _, i := range index.Images {
		out = append(out, candidate{name: i.Name, url: i.URL, sha256: &i.SHA256})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("cannot use the index of %v: no image for this machine: %w", u, fs.ErrNotExist)
	}
	return out, nil
}

// urls returns where to look: what the command line says, else where the firmware got the UKI from.
func (b *booter) urls() ([]weburl.URL, error) {
	arch, _ := gpt.ArchOf(runtime.GOARCH)
	var out []weburl.URL
	for _, s := range b.o.urls {
		if !isWeb(s) {
			continue // another source's
		}
		u, err := weburl.Parse(weburl.Expand(s, string(arch)))
		if err != nil {
			return nil, fmt.Errorf("cannot use ddi.url=: %w", err)
		}
		out = append(out, u)
	}
	if len(out) > 0 {
		return out, nil
	}
	u, err := stubURL(b.env.EFIVars)
	if err != nil {
		return nil, err
	}
	b.events.info(fmt.Sprintf("the firmware fetched the UKI from %v: looking for images there", u))
	return weburl.OfUKI(u), nil
}

// maxVariable bounds StubDeviceURL, attributes and all.
const maxVariable = 8 << 10

// stubURL reads where systemd-stub was fetched from. That somebody else may have written it does not matter: what is fetched is verified.
func stubURL(dir string) (weburl.URL, error) {
	const nothing = "cannot find an image: there is no ddi.url=, and the firmware did not fetch the UKI by HTTP"
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return weburl.URL{}, errors.New(nothing + " (no EFI variables)")
	}
	if err != nil {
		return weburl.URL{}, fmt.Errorf("%s: %w", nothing, err)
	}
	defer root.Close()
	file, err := efivarfs.Read(root, efivar.FileName("StubDeviceURL", efivar.LoaderVendor()), maxVariable)
	if err != nil {
		return weburl.URL{}, err
	}
	if file == nil {
		return weburl.URL{}, errors.New(nothing + " (no EFI variable StubDeviceURL, which systemd-stub 258 sets)")
	}
	text, err := efivar.URL(file)
	if err != nil {
		return weburl.URL{}, err
	}
	u, err := weburl.Parse(text)
	if err != nil {
		return weburl.URL{}, fmt.Errorf("cannot use the EFI variable StubDeviceURL: %w", err)
	}
	return u, nil
}
