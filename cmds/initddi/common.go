// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/options"
)

// list is a flag that can be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// parse parses the flags, which may stand before and behind the n arguments that must be there.
func parse(flags *flag.FlagSet, args []string, n int) ([]string, error) {
	rest, err := parseAll(flags, args)
	if err != nil {
		return nil, err
	}
	if len(rest) != n {
		return nil, usage(fmt.Errorf("cannot run %s with %d arguments: it takes %d; --help tells which", flags.Name(), len(rest), n))
	}
	return rest, nil
}

// parseAll is the same for any number of arguments.
func parseAll(flags *flag.FlagSet, args []string) ([]string, error) {
	var rest []string
	for {
		if err := flags.Parse(args); err != nil {
			return nil, usage(err)
		}
		if flags.NArg() == 0 {
			return rest, nil
		}
		rest = append(rest, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

// usage makes an error one of a command line that makes no sense, with its text.
func usage(err error) error { return options.Usage(err) }

// isSet is whether a flag was given.
func isSet(flags *flag.FlagSet, name string) bool {
	given := false
	flags.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	return given
}

// required says which of the flags was left out.
func required(flags *flag.FlagSet, names ...string) error {
	for _, name := range names {
		if f := flags.Lookup(name); f.Value.String() == "" {
			return usage(fmt.Errorf("cannot run %s without --%s", flags.Name(), name))
		}
	}
	return nil
}

// sourceDate is the time that goes into everything that is built: SOURCE_DATE_EPOCH, or the beginning of time.
func sourceDate() (int64, error) {
	s := os.Getenv("SOURCE_DATE_EPOCH")
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("cannot use SOURCE_DATE_EPOCH=%q: it is not a number of seconds", s)
	}
	return n, nil
}

func sourceTime() (time.Time, error) {
	n, err := sourceDate()
	if err != nil || n == 0 {
		return time.Time{}, err
	}
	return time.Unix(n, 0).UTC(), nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// size is a flag in bytes that takes the suffixes K, M, G and T, powers of 1024 as in systemd's.
type size int64

func (s *size) String() string {
	if *s == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*s), 10)
}

func (s *size) Set(text string) error {
	shift := 0
	if i := strings.IndexAny(text, "KMGT"); i >= 0 && i == len(text)-1 {
		shift = 10 * (strings.IndexByte("KMGT", text[i]) + 1)
		text = text[:i]
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > 1<<62>>shift {
		return fmt.Errorf("not a size: a number, with K, M, G or T behind it if need be")
	}
	*s = size(n << shift)
	return nil
}
