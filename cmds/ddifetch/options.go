// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/fetch"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/weburl"
)

// options is the command line of the verbs for web servers.
type options struct {
	args []string

	output              string
	force, alone, quiet bool
	image, arch, ca     string
	trust               []string
	limit               int64
	timeout             time.Duration
	json                jsonMode
	noLegend            bool
}

// jsonMode is --json=: off, short or pretty, which is also what --json alone means.
type jsonMode string

func (m *jsonMode) String() string   { return string(*m) }
func (m *jsonMode) IsBoolFlag() bool { return true }

func (m *jsonMode) Set(s string) error {
	switch s {
	case "true":
		s = "pretty"
	case "pretty", "short", "off":
	default:
		return errors.New("it takes pretty, short or off")
	}
	*m = jsonMode(s)
	return nil
}

// defaultLimit is more than a machine fetches by mistake.
const defaultLimit = 8 << 30

func newOptions() *options {
	arch, _ := gpt.ArchOf(runtime.GOARCH)
	return &options{json: "off", limit: defaultLimit, timeout: time.Minute, arch: string(arch)}
}

// parseWeb reads the command line of a verb, whose own flags define has.
func parseWeb(args []string, define func(*options, *flag.FlagSet)) (*options, error) {
	o := newOptions()
	flags := flag.NewFlagSet("ddifetch", flag.ContinueOnError)
	define(o, flags)
	o.define(flags)
	var err error
	if o.args, err = parse(flags, args); err != nil {
		return nil, err
	}
	if len(o.args) == 0 {
		return nil, fmt.Errorf("cannot fetch anything without a URL; %w", errUsage)
	}
	return o, nil
}

func (o *options) define(flags *flag.FlagSet) {
	for _, name := range []string{"quiet", "q"} {
		flags.BoolVar(&o.quiet, name, false, "")
	}
	flags.StringVar(&o.image, "image", "", "")
	flags.StringVar(&o.arch, "arch", o.arch, "")
	flags.StringVar(&o.ca, "ca", "", "")
	flags.Var(&o.json, "json", "")
	flags.Func("trust", "", func(s string) error {
		o.trust = append(o.trust, s)
		return nil
	})
	flags.Func("timeout", "", func(s string) (err error) {
		o.timeout, err = parseTime(s)
		return err
	})
}

func (o *options) defineGet(flags *flag.FlagSet) {
	for _, name := range []string{"output", "o"} {
		flags.StringVar(&o.output, name, "", "")
	}
	flags.BoolVar(&o.force, "force", false, "")
	flags.BoolVar(&o.alone, "alone", false, "")
	flags.Func("limit", "", func(s string) (err error) {
		o.limit, err = parseSize(s)
		return err
	})
}

func (o *options) defineIndex(flags *flag.FlagSet) {
	flags.BoolVar(&o.noLegend, "no-legend", false, "")
}

// parseSize reads a number of bytes, with K, M or G for the powers of 1024.
func parseSize(s string) (int64, error) {
	number, unit := s, int64(1)
	if i := strings.IndexAny(s, "KMG"); i >= 0 && i == len(s)-1 {
		number, unit = s[:i], 1<<(10*(1+strings.IndexByte("KMG", s[i])))
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/unit {
		return 0, errors.New("it takes a number of bytes above 0, or one with K, M or G")
	}
	return n * unit, nil
}

// parseTime reads seconds, or what Go takes for a duration.
func parseTime(s string) (time.Duration, error) {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil && n > 0 {
		return time.Duration(n) * time.Second, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, errors.New("it takes seconds, or a time such as 90s or 5m")
	}
	return d, nil
}

// urls reads the arguments. Either all are directories with an index, or none is.
func (o *options) urls() (urls []weburl.URL, isIndex bool, err error) {
	for _, arg := range o.args {
		u, err := weburl.Parse(weburl.Expand(arg, o.arch))
		if err != nil {
			return nil, false, fmt.Errorf("cannot fetch: %w; %w", err, errUsage)
		}
		if len(urls) > 0 && u.IsIndex() != urls[0].IsIndex() {
			return nil, false, fmt.Errorf("cannot fetch: %v is a directory, and not the other: they are to be places of the same thing; %w", u, errUsage)
		}
		urls = append(urls, u)
	}
	return urls, urls[0].IsIndex(), nil
}

// client makes the client that the options describe.
func (o *options) client(p *progress) (*fetch.Client, error) {
	name, optional := o.ca, false
	if name == "" {
		name, optional = fetch.CAFile, true
	}
	cas, err := fetch.ReadCAs(name, optional)
	if err != nil {
		return nil, err
	}
	return fetch.New(fetch.Options{Timeout: o.timeout, CAs: cas, Progress: p.step, Note: p.note}), nil
}

// plan is who may have signed an index, and which image of it is wanted.
func (o *options) plan() (*plan.Plan, error) {
	p, err := ddi.ReadStore(o.trust)
	if err != nil {
		return nil, err
	}
	p.Image = o.image
	return p, nil
}
