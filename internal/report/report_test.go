// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/linux/kmsg"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample is a report with something in every field; a new field must be added here.
func sample() *Boot {
	on := true
	return &Boot{
		Version: Version, Release: "1.0", Kernel: "6.12.1", BootPartition: "11111111-1111-4111-8111-111111111111", UKI: "/EFI/Linux/a.efi", SecureBoot: &on,
		LastFailure: "entered nothing",
		Rollback:    &Rollback{Mode: "required", Index: 0x018dd100, State: "ready", Floor: 3, Level: 4},
		Network:     &Network{Interface: "eth0", How: "dhcp4"},
		Settings:    &Settings{Path: "/loader/ddi/initddi.conf", Accepted: true, Signer: "Somebody", Refusal: "refused"},
		Chosen: &Chosen{
			Source: "esp", URL: "http://server/os.raw", Received: 4711, Partition: "11111111-1111-4111-8111-111111111111", Node: "vda1", Paths: []string{"vda1", "vdb1"}, Path: "/loader/ddi/os.raw", Beside: []string{"/loader/ddi/os.roothash.p7s"}, Extents: [][2]int64{{4096, 8192}, {1 << 40, 512}},
			RootHash: strings.Repeat("ab", 32), Signer: "Somebody", SignerHash: strings.Repeat("cd", 32), Pinned: true,
			Kind: "os", ID: "debian", ImageID: "kiosk", Version: "1.2", FileSystem: "erofs", Device: "root", Corruption: "restart", Copied: true, Init: "/sbin/init", Overlay: "tmpfs",
		},
		Extensions: []Extension{{
			Class: "sysext", Name: "tools", Source: "esp", Path: "/loader/ddi/tools.sysext.raw", Place: "/run/extensions/tools", Extents: [][2]int64{{8192, 4096}},
			RootHash: strings.Repeat("ef", 32), Signer: "Somebody", Device: strings.Repeat("ef", 32) + "-verity",
		}},
		LeftOut:  []Entry{{"esp", "vda1:/loader/ddi/x.sysext.raw", "extension", "vda1:/loader/ddi/x.sysext.raw refused (extension)"}},
		Refused:  []Entry{{"esp", "vda1:/loader/ddi/b.raw", "signed", "vda1:/loader/ddi/b.raw refused (signed)"}},
		Stages:   []Stage{{"plan", 1000, 20, "text"}},
		Measured: []Measured{{13, "ddi:os:a:ab:", []string{"sha1", "sha256"}}}, Unmeasured: "there is no TPM",
		Modules:  []string{"loop", "erofs"},
		Warnings: []string{"beware"},
	}
}

// TestSampleIsComplete finds fields that sample leaves empty, so that the golden file shows the whole schema.
func TestSampleIsComplete(t *testing.T) {
	for _, v := range []any{*sample(), *sample().Chosen, sample().Refused[0], sample().Extensions[0], *sample().Settings, *sample().Rollback, *sample().Network, sample().Stages[0], sample().Measured[0]} {
		r := reflect.ValueOf(v)
		for i := range r.NumField() {
			if r.Field(i).IsZero() {
				t.Errorf("%s.%s is empty", r.Type().Name(), r.Type().Field(i).Name)
			}
			if tag := r.Type().Field(i).Tag.Get("json"); tag == "" || tag != strings.ToLower(tag) {
				t.Errorf("%s.%s has the JSON name %q", r.Type().Name(), r.Type().Field(i).Name, tag)
			}
		}
	}
}

func TestSchema(t *testing.T) {
	for name, b := range map[string]*Boot{"full.json": sample(), "empty.json": {Version: Version}} {
		out := filepath.Join(t.TempDir(), "run/initddi", "boot.json")
		if err := b.Write(out); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if theirs, err := json.MarshalIndent(b, "", "  "); err != nil || string(got) != string(theirs)+"\n" {
			t.Errorf("%s: got\n%s\nwhat encoding/json writes is\n%s", name, got, theirs)
		}
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s\nA field may be added (-update); changing what one means takes a new Version.", name, got, want)
		}
		var back Boot
		if err := json.Unmarshal(got, &back); err != nil || !reflect.DeepEqual(&back, b) {
			t.Errorf("%s: read back %+v, %v", name, back, err)
		}
		if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
}

func TestWriteFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := sample().Write(file + "/boot.json"); err == nil || !strings.Contains(err.Error(), "cannot write the boot report") {
		t.Error(err)
	}
	if err := sample().Write(filepath.Dir(file)); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestStages(t *testing.T) {
	now := 5 * time.Second
	clock := func() time.Duration { return now }
	b := &Boot{}
	outer := b.Begin(clock, "outer")
	now += time.Millisecond
	inner := b.Begin(clock, "inner")
	now += 2 * time.Millisecond
	if d := inner("a"); d != 2*time.Millisecond {
		t.Errorf("inner took %v", d)
	}
	now += 3 * time.Millisecond
	if d := outer("b"); d != 6*time.Millisecond {
		t.Errorf("outer took %v", d)
	}
	want := []Stage{{"inner", 5_001_000, 2000, "a"}, {"outer", 5_000_000, 6000, "b"}}
	if !reflect.DeepEqual(b.Stages, want) {
		t.Errorf("got %+v, want %+v", b.Stages, want)
	}
}

// kernelLog is a log that writes into a file, and what is in it.
func kernelLog(t *testing.T) (*kmsg.Log, func() string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "kmsg")
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	k, err := kmsg.Open(name, "initddi")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k, func() string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Split(strings.TrimSuffix(string(b), "\n"), "\n"), "|")
	}
}

func TestLog(t *testing.T) {
	all := func(l *Log) {
		l.Err("e %d", 1)
		l.Warn("w")
		l.Info("i")
		l.Debug("d")
	}
	for _, test := range []struct {
		name        string
		level       kmsg.Priority
		kernelLevel kmsg.Priority // 0: there is no kernel log
		console     string
	}{
		{"no kernel log, everything", kmsg.Debug, 0, "initddi: e 1|initddi: w|initddi: i|initddi: d"},
		{"no kernel log, usual", kmsg.Info, 0, "initddi: e 1|initddi: w|initddi: i"},
		{"no kernel log, quiet", kmsg.Err, 0, "initddi: e 1"},
		// What the kernel prints on the console by itself is not printed twice.
		{"the kernel prints all but debug", kmsg.Info, 7, ""},
		{"the kernel prints all", kmsg.Debug, 8, ""},
		{"the kernel is quiet", kmsg.Info, 4, "initddi: w|initddi: i"},
		{"the kernel says nothing", kmsg.Info, 1, "initddi: e 1|initddi: w|initddi: i"},
		{"both are quiet", kmsg.Err, 4, ""},
	} {
		var console bytes.Buffer
		l := &Log{Console: &console, Level: test.level, KernelLevel: test.kernelLevel}
		records := func() string { return "<27>initddi: e 1|<28>initddi: w|<30>initddi: i|<31>initddi: d" }
		if test.kernelLevel > 0 {
			l.Kernel, records = kernelLog(t)
		}
		all(l)
		if got := strings.Join(strings.Split(strings.TrimSuffix(console.String(), "\n"), "\n"), "|"); got != test.console {
			t.Errorf("%s: the console shows %q, want %q", test.name, got, test.console)
		}
		if got, want := records(), "<27>initddi: e 1|<28>initddi: w|<30>initddi: i|<31>initddi: d"; got != want {
			t.Errorf("%s: the kernel's log has %q, want %q", test.name, got, want)
		}
	}
}

// TestLogOfHostileText: what a file is called ends up on the console, and must not move its cursor there.
func TestLogOfHostileText(t *testing.T) {
	var console bytes.Buffer
	l := &Log{Console: &console, Level: kmsg.Info}
	l.Info("%s", "a\x1b[2Jb\rc\nd\te")
	if got, want := console.String(), "initddi: a?[2Jb?c\ninitddi: d e\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	(&Log{}).Err("nowhere to go")
}
