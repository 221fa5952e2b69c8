// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"errors"
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/nbd"
	"github.com/initddi/initddi/internal/nbd/nbdtest"
)

func nbdFlags() *flag.FlagSet {
	flags := flag.NewFlagSet("nbd", flag.ContinueOnError)
	(&nbdOptions{}).define(flags)
	return flags
}

func TestNBDHelp(t *testing.T) { checkHelp(t, nbdFlags(), nbdHelp) }

// TestNBDManual holds ddifetch-nbd(8) against the verb.
func TestNBDManual(t *testing.T) {
	b, err := os.ReadFile("../../docs/man/ddifetch-nbd.8")
	if err != nil {
		t.Fatal(err)
	}
	nbdFlags().VisitAll(func(f *flag.Flag) {
		if !regexp.MustCompile(`(?m)^\.It .*Fl -` + f.Name + `( |$)`).Match(b) {
			t.Errorf("ddifetch-nbd.8 does not explain --%s", f.Name)
		}
	})
}

func TestParseNBD(t *testing.T) {
	for _, test := range []struct {
		args, wrong string // wrong is empty for what is right
	}{
		{"nbd://a/b", ""},
		{"nbd://a/b nbd://c/d --json", ""},
		{"--connections=4 --request-timeout 5 --dead-timeout=0 nbd://a/b", ""},
		{"--list nbd://a/b", ""},
		{"--status", ""},
		{"nbd0 --disconnect", ""},
		{"--watch nbd0", ""},
		{"", "0 URLs"},
		{"--list", "0 URLs"},
		{"--status nbd0", "1 arguments"},
		{"--disconnect", "0 DEVICE"},
		{"--reconnect nbd0 nbd1", "2 DEVICE"},
		{"--status --list", "two things"},
		{"--connections=0 nbd://a/b", "0 connections"},
		{"--connections=5 nbd://a/b", "5 connections"},
		{"--timeout=0 nbd://a/b", "0 seconds"},
		{"--request-timeout=0 nbd://a/b", "0 seconds"},
		{"--timeout=1h nbd://a/b", "number of seconds"},
		{"--dead-timeout=99999999999 nbd://a/b", "number of seconds"},
		{"--frobnicate", "frobnicate"},
	} {
		o, err := parseNBD(strings.Fields(test.args))
		if (err == nil) != (test.wrong == "") || err != nil && (!errors.Is(err, errUsage) || !strings.Contains(err.Error(), test.wrong)) {
			t.Errorf("%q: %v", test.args, err)
		}
		if err == nil && (o.dead != 0) != o.watch {
			t.Errorf("%q: readers wait %d s", test.args, o.dead)
		}
	}
	for _, url := range []string{"http://a/b", "nbds://a/b", "nbd0"} {
		if _, _, err := command(t, "nbd", "--list", url); !errors.Is(err, errUsage) || !errors.Is(err, nbd.ErrURL) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestNBDList(t *testing.T) {
	s := &nbdtest.Server{Export: "disk", Size: 1 << 20, Read: nbdtest.Bytes(nil), MultiConn: true}
	at := "nbd://" + s.Start(t, "127.0.0.1:0")
	out, _, err := command(t, "nbd", "--list", at+"/disk")
	if want := "        SIZE  BLOCK  CONNECTIONS  URL\n     1048576    512            4  " + at + "/disk\n"; err != nil || out != want {
		t.Errorf("%v, got\n%swant\n%s", err, out, want)
	}
	out, said, err := command(t, "nbd", "--list", "--json", at+"/none", at+"/disk")
	want := "[\n\t{\n\t\t\"url\": \"" + at + "/disk\",\n\t\t\"size\": 1048576,\n\t\t\"block_size\": 512,\n\t\t\"connections\": 4\n\t}\n]\n"
	if err != nil || out != want || !strings.Contains(said, at+"/none: cannot agree") {
		t.Errorf("%v, said %q, got\n%swant\n%s", err, said, out, want)
	}
	if out, _, err := command(t, "nbd", "--list", at+"/none"); !errors.Is(err, nbd.ErrNoExport) || out != "" {
		t.Errorf("%q, %v", out, err)
	}
	if _, said, err := command(t, "nbd", "--list", at+"/none", at+"/neither"); err == nil || strings.Count(said, "no such export") != 2 {
		t.Errorf("%q, %v", said, err)
	}
}

// TestNBDCompletion compares what the completion scripts know of the verb with what it takes.
func TestNBDCompletion(t *testing.T) {
	names := []string{"--help"}
	nbdFlags().VisitAll(func(f *flag.Flag) {
		name := "--" + f.Name
		if b, ok := f.Value.(interface{ IsBoolFlag() bool }); !ok || !b.IsBoolFlag() {
			name += "="
		}
		names = append(names, name)
	})
	slices.Sort(names)
	for _, file := range []string{"../../completion/bash/ddifetch", "../../completion/zsh/_ddifetch"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`(?m)^    # flags of nbd\n.*opts=['(]([^')]*)`).FindSubmatch(b)
		if want := strings.Join(names, " "); found == nil || string(found[1]) != want {
			t.Errorf("%s knows %q, wanted %q", file, found, want)
		}
	}
}
