// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/linux/kerneltest"
	"github.com/initddi/initddi/internal/nbd/nbdtest"
)

func TestNBDName(t *testing.T) {
	for export, want := range map[string]string{
		"debian": "debian.raw", "OS_1.2.raw": "OS_1.2.raw", "OS_1.RAW": "OS_1.RAW", "images/OS_1.2": "OS_1.2.raw", "/disk": "disk.raw",
		"": "default.raw", "/": "default.raw", "a/": "a.raw", "a/..": "default.raw",
	} {
		if got := nbdName(export); got != want {
			t.Errorf("%q is called %q, want %q", export, got, want)
		}
	}
}

func TestBootListNBD(t *testing.T) {
	s := &nbdtest.Server{Export: "images/OS_1", Size: 1<<20 + 1, Read: nbdtest.Bytes(nil)}
	at := "nbd://" + s.Start(t, "127.0.0.1:0")
	silent := "nbd://127.0.0.1:1/x"
	b := newBoot(t, newSigner(t, "release"))
	b.source = "nbd"
	for _, test := range []struct {
		name, want string // the candidates, or the code and a piece of the text of the error
		urls       []string
		bad        bool
	}{
		{"one", "OS_1.raw " + at + "/images/OS_1 1048576", []string{at + "/images/OS_1"}, false},
		{"with one of another source", "OS_1.raw " + at + "/images/OS_1 1048576", []string{"http://192.0.2.1/", at + "/images/OS_1"}, false},
		{"with one that has none", "OS_1.raw " + at + "/images/OS_1 1048576", []string{at + "/x", at + "/images/OS_1"}, false},
		{"none has any", "not-found no such export", []string{at + "/x", at + "/y"}, true},
		{"nobody is there", "timeout 127.0.0.1:1", []string{silent}, true},
		{"only another source's", " there is no nbd://", []string{"http://192.0.2.1/"}, true},
		{"none", " there is no nbd://", nil, true},
		{"one with parameters", " cannot use ddi.url=", []string{at + "/x?tls-type=anon"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := []string{"--list", "--timeout=1"}
			for _, u := range test.urls {
				args = append(args, "--url="+u)
			}
			b.run(args...)
			var got []string
			for _, e := range b.events[:len(b.events)-1] {
				got = append(got, fmt.Sprintf("%v %v %.0f", e["name"], e["url"], e["size"]))
			}
			last := b.last()
			if !test.bad {
				if list := strings.Join(got, ", "); b.err != nil || last["event"] != "done" || list != test.want {
					t.Errorf("%v, %q, %v\n%s", b.err, list, last, b.stderr)
				}
				return
			}
			code, text, _ := strings.Cut(test.want, " ")
			if !errors.Is(b.err, errReported) || len(got) != 0 || last["event"] != "error" || fmt.Sprint(last["code"]) != code && last["code"] != nil || !strings.Contains(fmt.Sprint(last["text"]), text) {
				t.Errorf("%v, %q, %v\n%s", b.err, got, last, b.stderr)
			}
		})
	}
	for _, args := range [][]string{{"boot", "--source=nbd", "--list"}, {"boot", "--source=nbd", "--timeout=1"}, {"boot", "--source=ftp", "--list", "--timeout=1"}} {
		if _, _, err := command(t, args...); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// TestVMBootNBD: storageinit asks for a device, and it is there when ddifetch has ended.
func TestVMBootNBD(t *testing.T) {
	kerneltest.NeedMachine(t)
	kerneltest.Loopback(t)
	data := bytes.Repeat([]byte("initddi "), 1<<17)
	s := &nbdtest.Server{Export: "OS_1", Size: int64(len(data)), Read: nbdtest.Bytes(data)}
	at := "nbd://" + s.Start(t, "127.0.0.1:0")
	b := newBoot(t, newSigner(t, "release"))
	b.source = "nbd"
	b.run("--get="+at+"/OS_2", "--timeout=5")
	if last := b.last(); !errors.Is(b.err, errReported) || last["code"] != "not-found" {
		t.Errorf("%v, %v", b.err, last)
	}
	b.run("--get="+at+"/OS_1", "--timeout=5")
	if b.err != nil || len(b.events) != 2 || b.events[0]["event"] != "device" || b.last()["event"] != "done" {
		t.Fatalf("%v, %v\n%s", b.err, b.events, b.stderr)
	}
	d := b.events[0]
	if d["size"] != float64(len(data)) || d["block_size"] != float64(512) {
		t.Errorf("%v", d)
	}
	node := fmt.Sprint(d["node"])
	got, err := os.ReadFile("/dev/" + node)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes were read: %v", len(got), err)
	}
	out, _, err := command(t, "nbd", "--status", "--json")
	if err != nil || !strings.Contains(out, `"url": "`+at+`/OS_1"`) || !strings.Contains(out, `"node": "`+node+`"`) || !strings.Contains(out, `"read_only": true`) {
		t.Errorf("%v\n%s", err, out)
	}
	if _, _, err := command(t, "nbd", "--disconnect", at+"/OS_1"); err != nil {
		t.Error(err)
	}
	if out, _, err := command(t, "nbd", "--status"); err != nil || strings.Count(out, "\n") != 1 {
		t.Errorf("%v\n%s", err, out)
	}
	out, _, err = command(t, "nbd", at+"/none", at+"/OS_1")
	if err != nil || !strings.Contains(out, "1048576 bytes of "+at+"/OS_1, over 1 connections") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, _, err := command(t, "nbd", "--disconnect", strings.TrimSuffix(strings.Fields(out)[0], ":")); err != nil {
		t.Error(err)
	}
}
