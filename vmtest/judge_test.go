// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/initddi/initddi/vmtest/guest"
)

// recorded returns a console that a machine really showed.
func recorded(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestJudge(t *testing.T) {
	good := &Outcome{Console: recorded(t, "virtio.log"), Report: recorded(t, "virtio.report"), Took: 5 * time.Second}
	refused := &Outcome{Console: recorded(t, "unsigned.log"), Took: 5 * time.Second}
	corrupt := &Outcome{Console: recorded(t, "flipped-late.log"), Took: 5 * time.Second}
	shell := &Outcome{Console: recorded(t, "break-shell.log"), Took: 5 * time.Second}
	after := func(o *Outcome, more string) *Outcome {
		c := *o
		c.Console += more
		return &c
	}
	hang := &Outcome{Console: good.Console[:strings.Index(good.Console, "initddi: attach")], TimedOut: true, Took: DefaultLimit}
	for _, tt := range []struct {
		name string
		cell Cell
		out  *Outcome
		want []string // parts of what is wrong, one a complaint
	}{
		{"good", Cell{Verdict: Entered, Must: []string{"verify: root hash", "entering vda1:/loader/ddi/signed.raw", guest.Sentence}, Check: contractOS}, good, nil},
		{"wrong sentence", Cell{Verdict: Entered, Must: []string{"entering vda1:/loader/ddi/other.raw"}}, good, []string{`does not show "entering vda1:/loader/ddi/other.raw"`}},
		{"wrong order", Cell{Verdict: Entered, Must: []string{"initddi: mount", "initddi: attach"}}, good, []string{`"initddi: attach" too early`}},
		{"must not", Cell{Verdict: Entered, Must: []string{"initddi: plan"}, MustNot: []string{"signed by"}}, good, []string{`shows "signed by initddi development image key`}},
		{"wanted a refusal", Cell{Verdict: Refused, Must: []string{"initddi: plan"}}, good, []string{"is entered, wanted refused"}},
		{"refused", Cell{Verdict: Refused, Must: []string{"refused (signed)", "cannot boot:", "refused (signed)", "what to do: sign the image"}, MustNot: []string{guest.Sentence}}, refused, nil},
		{"refused for another reason", Cell{Verdict: Refused, Must: []string{"refused (pin)"}}, refused, []string{`does not show "refused (pin)"`}},
		{"wanted to enter", Cell{Verdict: Entered, Must: []string{"cannot boot:"}, Check: contractOS}, refused, []string{"is refused, wanted entered", "did not report"}},
		{"restarted", Cell{Verdict: Restarted, Must: []string{"is corrupted"}}, corrupt, nil},
		{"restarted is no entry", Cell{Verdict: Entered, Must: []string{"entering vda1"}}, corrupt, []string{"is restarted, wanted entered"}},
		{"through a shell", Cell{Verdict: Entered, Must: []string{"ddi.break=mount: a shell", "answer-42", guest.Sentence}}, shell, nil},
		{"refused behind a shell", Cell{Verdict: Refused, Must: []string{"ddi.break=mount: a shell", "cannot boot:"}},
			&Outcome{Console: "initddi: ddi.break=mount: a shell; leave it (exit) to go on\ninitddi: cannot boot:\n"}, nil},
		{"a shell behind a refusal", Cell{Verdict: Shell, Must: []string{"cannot boot:"}},
			&Outcome{Console: "initddi: cannot boot:\ninitddi: a shell: leave it (exit) to try again\n"}, nil},
		{"nothing typed", Cell{Verdict: Entered, Must: []string{"answer-42"}}, &Outcome{Console: shell.Console, Unsaid: "a sentence"}, []string{`never showed "a sentence"`}},
		{"hang", Cell{Verdict: Entered, Must: []string{"verify: root hash"}}, hang, []string{"still running after 2m0s", "is neither, wanted entered"}},
		{"hang is no refusal", Cell{Verdict: Refused, Must: []string{"cannot boot:"}}, &Outcome{Console: refused.Console, TimedOut: true, Took: DefaultLimit}, []string{"still running", "is neither, wanted refused"}},
		{"panic", Cell{Verdict: Entered, Must: []string{guest.Sentence}}, after(good, "Kernel panic - not syncing: Attempted to kill init!\n"), []string{"Kernel panic - not syncing"}},
		{"early panic", Cell{Verdict: Refused, Must: []string{"initddi: plan"}}, &Outcome{Console: "initddi: plan\nKernel panic - not syncing\n"}, []string{"is neither, wanted refused", "Kernel panic"}},
		{"own panic", Cell{Verdict: Refused, Must: []string{"cannot boot:"}}, after(refused, "initddi: internal error: index out of range\n"), []string{"internal error"}},
		{"silence", Cell{Verdict: Refused, Must: []string{"cannot boot:"}}, &Outcome{}, []string{"is neither, wanted refused", "does not show"}},
	} {
		got := Judge(&tt.cell, tt.out)
		if len(got) != len(tt.want) {
			t.Errorf("%s: Judge found %q, wanted %d: %q", tt.name, got, len(tt.want), tt.want)
			continue
		}
		for i, want := range tt.want {
			if !strings.Contains(got[i], want) {
				t.Errorf("%s: Judge found %q, wanted something with %q", tt.name, got[i], want)
			}
		}
	}
}

func TestText(t *testing.T) {
	const raw = "\x1bc\x1b[?7l\x1b[2J\x1b[0mSeaBIOS\r\nline\x1b[6n two\r\n\x1b]0;title\x07three"
	if got, want := Text(raw), "SeaBIOS\nline two\nthree"; got != want {
		t.Errorf("Text gave %q, wanted %q", got, want)
	}
}

// Each change of a good report breaks one sentence of the contract, and the check must say so.
func TestContractCanFail(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*guest.Facts)
		want   string
	}{
		{"process", func(f *guest.Facts) { f.PID = 7 }, "process 7"},
		{"descriptor", func(f *guest.Facts) { f.FDs[5] = "socket:[1]" }, "open descriptors"},
		{"console", func(f *guest.Facts) { f.FDs[1] = "/dev/ttyS0" }, "descriptor 1"},
		{"directory", func(f *guest.Facts) { f.Cwd = "/newroot" }, "working directory"},
		{"left behind", func(f *guest.Facts) { f.Processes = []string{"77 /bbin/bb"} }, "processes were left"},
		{"environment", func(f *guest.Facts) { f.Env = append(f.Env, "GODEBUG=x") }, "GODEBUG"},
		{"told", func(f *guest.Facts) { f.Args = append(f.Args, "--switched-root") }, "--switched-root"},
		{"flags of /run", func(f *guest.Facts) { f.At("/run").Options = "rw,nodev" }, "without nosuid"},
		{"noexec /dev", func(f *guest.Facts) { f.At("/dev").Options = "rw,nosuid,noexec" }, "with noexec"},
		{"no /sys", func(f *guest.Facts) { f.At("/sys").Path = "/newroot/sys" }, "nothing is mounted at /sys"},
		{"another mount", func(f *guest.Facts) { f.Mounts = append(f.Mounts, guest.Mount{Path: "/esp", Type: "vfat"}) }, "vfat is mounted at /esp"},
		{"writable root", func(f *guest.Facts) { f.WriteToRoot = "" }, "writing to the root"},
		{"esp", func(f *guest.Facts) { f.ESP = "device or resource busy" }, "busy"},
		{"memory", func(f *guest.Facts) { f.MemAvailable = 700_000 }, "memory"},
		{"name", func(f *guest.Facts) { f.DM[1].Name = "initddi-0" }, "named root"},
		{"uuid", func(f *guest.Facts) { f.DM[1].UUID = "CRYPT-VERITY-x-root" }, "UUID"},
		{"third device", func(f *guest.Facts) { f.DM = append(f.DM, guest.DM{Name: "initddi-1", ReadOnly: true}) }, "3 dm devices"},
		{"writable device", func(f *guest.Facts) { f.DM[0].ReadOnly = false }, "can be written to"},
		{"loop stays", func(f *guest.Facts) { f.Loops[0].AutoClear = false }, "autoclear"},
		{"loop at the start", func(f *guest.Facts) { f.Loops[0].Offset = 0 }, "UUID"},
		{"report", func(f *guest.Facts) { f.Boot = json.RawMessage(`{"version":1}`) }, "names no image"},
		{"kind", func(f *guest.Facts) {
			f.Boot = json.RawMessage(bytes.Replace(f.Boot, []byte(`"kind":"os"`), []byte(`"kind":"initrd"`), 1))
		}, "kind"},
		{"order of modules", func(f *guest.Facts) {
			f.Boot = json.RawMessage(bytes.Replace(f.Boot, []byte(`"modules":["sha256_ssse3",`), []byte(`"modules":["loop","sha256_ssse3",`), 1))
		}, "wanted sha256_ssse3 first"},
		{"slow hash", func(f *guest.Facts) { f.SHA256 = "sha256-generic" }, "the kernel's SHA-256"},
		{"unknown", func(f *guest.Facts) { f.Errors = []string{"cannot read"} }, "could not find out"},
	} {
		f, err := facts(recorded(t, "virtio.report"))
		if err != nil {
			t.Fatal(err)
		}
		if wrong := contractOS(f); len(wrong) != 0 {
			t.Fatalf("the recorded report is not good: %q", wrong)
		}
		tt.change(f)
		if wrong := contractOS(f); !slices.ContainsFunc(wrong, func(s string) bool { return strings.Contains(s, tt.want) }) {
			t.Errorf("%s: the check found %q, wanted something with %q", tt.name, wrong, tt.want)
		}
	}
}

func TestDebianIsWell(t *testing.T) {
	const good = "state=running\r\nmulti-user-usec=1\r\nfailed-units=0\r\njobs=0\r\ntrouble=0\r\nesp=rw\r\nesp-uuid-devices=1\r\nblessed=good: x\r\ndone=1\r\n"
	if wrong := debianIsWell(good); len(wrong) != 0 {
		t.Errorf("a good report is wrong: %q", wrong)
	}
	if unrecorded := strings.Replace(good, "good: x", "not recorded: x", 1); len(debianIsUnrecorded(unrecorded)) != 0 || len(debianIsWell(unrecorded)) == 0 || len(debianIsUnrecorded(good)) == 0 {
		t.Error("a machine without a record is taken for one with, or the other way round")
	}
	for _, bad := range []string{"", strings.Replace(good, "running", "degraded", 1), strings.Replace(good, "esp=rw", "esp=failed", 1),
		strings.Replace(good, "good", "on trial", 1), strings.Replace(good, "devices=1", "devices=2", 1), strings.TrimSuffix(good, "done=1\r\n")} {
		if wrong := debianIsWell(bad); len(wrong) == 0 {
			t.Errorf("nothing is wrong with %q", bad)
		}
	}
}

// The console hands out a line when its sentence has come, behind what the line before waited for.
func TestDialogue(t *testing.T) {
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	c := newConsole(log, []Line{{"prompt", "first"}, {"prompt", "second"}, {"never", "third"}})
	for _, s := range []string{"no\r\npro", "mpt # ", "again a prom", "pt"} {
		if _, err := c.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	var said []string
	for s := range c.say {
		said = append(said, s)
	}
	if !slices.Equal(said, []string{"first", "second"}) || c.unsaid() != "never" {
		t.Errorf("said %q, waiting for %q", said, c.unsaid())
	}
}

func TestRows(t *testing.T) {
	var out bytes.Buffer
	for _, r := range []*Result{
		{Name: "a", Status: Passed, Verdict: Entered, Seconds: 4.24, Read: 2345678, Way: "Secure Boot from nvme"},
		{Name: "b", Status: Skipped, Missing: "a tool (Debian package x)"},
		{Name: "c", Status: Failed, Verdict: Neither, Wrong: []string{"no sentence"}, Log: "build/matrix/c.log", console: strings.Repeat("x\n", 50) + "the end\r\n"},
	} {
		r.print(&out, "matrix", 1)
	}
	const want = "PASS a  entered     4.2 s    2345 kB  Secure Boot from nvme\nSKIP b: missing: a tool (Debian package x)\nFAIL c  neither     0.0 s          -\n    no sentence\n  the end of the console:\n"
	if got := out.String(); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "  | the end\n  whole console: build/matrix/c.log\n  again: ./just matrix --only c\n") || strings.Count(got, "| ") != shown {
		t.Errorf("the rows are:\n%s", got)
	}
	s := &Summary{Program: "matrix", Passed: 1, Failed: 2, Skipped: 3}
	if got := s.Line(); got != "matrix: 1 passed, 2 failed, 3 skipped" {
		t.Errorf("the last line is %q", got)
	}
}
