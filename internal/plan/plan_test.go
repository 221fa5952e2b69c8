// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package plan

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/cmdline"
	"github.com/initddi/initddi/internal/settings"
)

var update = flag.Bool("update", false, "write the golden files anew")

// dump writes every field of a plan on a line.
func dump(p *Plan, err error) string {
	var b strings.Builder
	v := reflect.ValueOf(*p)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if !v.Type().Field(i).IsExported() {
			continue
		}
		switch f := v.Field(i).Interface().(type) {
		case []byte:
			fmt.Fprintf(&b, "%s: %x\n", name, f)
		case [][]byte, [][32]byte:
			fmt.Fprintf(&b, "%s: %x\n", name, f)
		case []string:
			fmt.Fprintf(&b, "%s: %q\n", name, f)
		case Device:
			fmt.Fprintf(&b, "%s: %s\n", name, f)
		case Identity:
			fmt.Fprintf(&b, "%s: %+v\n", name, f)
		default:
			if name == "Trust" {
				fmt.Fprintf(&b, "Trust:")
				for _, c := range p.Trust {
					fmt.Fprintf(&b, " %q", c.Subject)
				}
				b.WriteString("\n")
				continue
			}
			fmt.Fprintf(&b, "%s: %v\n", name, f)
		}
	}
	if err != nil {
		fmt.Fprintf(&b, "error: %s\n", strings.ReplaceAll(err.Error(), "\n", "\nerror: "))
	}
	return b.String()
}

// TestGolden makes a plan of each file in testdata/plans. A file has the command line, stage1.conf and the plan, each behind a
// line that begins with "--".
func TestGolden(t *testing.T) {
	names, err := filepath.Glob("testdata/plans/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatal(err, names)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			const marks = "-- cmdline --\n|-- stage1.conf --\n|-- plan --\n"
			m := strings.Split(marks, "|")
			_, rest, ok1 := strings.Cut(string(b), m[0])
			line, rest, ok2 := strings.Cut(rest, m[1])
			config, want, ok3 := strings.Cut(rest, m[2])
			if !ok1 || !ok2 || !ok3 {
				t.Fatalf("%s lacks one of the lines %q", name, m)
			}
			in := Input{CommandLine: strings.TrimSuffix(line, "\n"), Config: []byte(config), HasShell: strings.Contains(name, "shell"), HasMerge: strings.Contains(name, "usual")}
			for _, c := range []string{"rsa2048", "p256"} {
				pem, err := os.ReadFile("../signature/testdata/" + c + ".crt")
				if err != nil {
					t.Fatal(err)
				}
				in.Certificates = append(in.Certificates, CertificateFile{Name: c, PEM: pem})
			}
			got := dump(New(in))
			if *update {
				if err := os.WriteFile(name, []byte(m[0]+line+m[1]+config+m[2]+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got:\n%s\nwant:\n%s\n(go test -run TestGolden -update, and look at the difference)", got, want)
			}
			if again := dump(New(in)); again != got {
				t.Error("the same input makes two plans")
			}
		})
	}
}

func TestQuiet(t *testing.T) {
	for line, want := range map[string]Level{
		"":                    LevelInfo,
		"quiet":               LevelErr,
		"ddi.log=debug quiet": LevelDebug,
		"quiet ddi.log=info":  LevelInfo,
		"quiet=1":             LevelInfo, // not the kernel's quiet either
		"-- quiet":            LevelInfo,
	} {
		if p, err := New(Input{CommandLine: line}); err != nil || p.Log != want {
			t.Errorf("%q: %v, %v, want %v", line, p.Log, err, want)
		}
	}
}

func TestInits(t *testing.T) {
	for _, test := range []struct {
		line       string
		os, initrd string
	}{
		{"", "/sbin/init /usr/lib/systemd/systemd /etc/init /bin/init", "/init /usr/lib/systemd/systemd /sbin/init"},
		{"init=/bin/sh", "/bin/sh", "/init /usr/lib/systemd/systemd /sbin/init"},
		{"init=/bin/a init=/bin/b", "/bin/b", "/init /usr/lib/systemd/systemd /sbin/init"},
		{"ddi.init=/bin/x", "/bin/x", "/bin/x"},
		{"init=/bin/sh ddi.init=/bin/x", "/bin/x", "/bin/x"},
		{"rdinit=/bin/sh", "/sbin/init /usr/lib/systemd/systemd /etc/init /bin/init", "/init /usr/lib/systemd/systemd /sbin/init"},
	} {
		p, err := New(Input{CommandLine: test.line})
		if err != nil {
			t.Error(err)
			continue
		}
		if got := strings.Join(p.InitsFor(KindOS), " "); got != test.os {
			t.Errorf("%q: an OS image's are %s, want %s", test.line, got, test.os)
		}
		if got := strings.Join(p.InitsFor(KindInitrd), " "); got != test.initrd {
			t.Errorf("%q: an initrd image's are %s, want %s", test.line, got, test.initrd)
		}
	}
}

func TestCorruption(t *testing.T) {
	for _, test := range []struct{ line, os, initrd string }{
		{"", "restart restart_on_corruption", "eio "},
		{"ddi.corruption=eio", "eio ", "eio "},
		{"ddi.corruption=panic", "panic panic_on_corruption", "panic panic_on_corruption"},
		{"ddi.corruption=restart", "restart restart_on_corruption", "restart restart_on_corruption"},
	} {
		p, _ := New(Input{CommandLine: test.line})
		for kind, want := range map[Kind]string{KindOS: test.os, KindInitrd: test.initrd} {
			c := p.CorruptionFor(kind)
			if got := string(c) + " " + c.DMOption(); got != want {
				t.Errorf("%q, %s: %q, want %q", test.line, kind, got, want)
			}
		}
	}
}

func TestWarnings(t *testing.T) {
	p, err := New(Input{CommandLine: "roothash=abc usrhash=def root=/dev/sda1"})
	if err != nil || len(p.Warnings) != 2 || !strings.Contains(p.Warnings[0], "ddi.roothash=") || !strings.Contains(p.Warnings[1], "ddi.usrhash=") {
		t.Errorf("%v, %q", err, p.Warnings)
	}
	if p.RootHash != nil || p.UsrHash != nil {
		t.Error("the next init's keys are taken for ours")
	}
}

func TestShell(t *testing.T) {
	for _, in := range []Input{{CommandLine: "ddi.break=mount"}, {CommandLine: "ddi.fail=shell"}, {Config: []byte("break=mount")}, {Config: []byte("fail=shell")}} {
		p, err := New(in)
		where := "kernel command line"
		if in.Config != nil {
			where = "/etc/initddi/stage1.conf line 1"
		}
		var ke *KeyError
		if !errors.Is(err, ErrNotHere) || !errors.As(err, &ke) || ke.Where != where || !strings.Contains(err.Error(), "no shell") {
			t.Errorf("%+v: %v", in, err)
		}
		if p.Fail != FailReboot {
			t.Errorf("a machine that cannot boot would %s", p.Fail)
		}
		in.HasShell = true
		if _, err := New(in); err != nil {
			t.Error(err)
		}
	}
	p, _ := New(Input{CommandLine: "ddi.break=mount,verify", HasShell: true})
	if !p.StopsAt(StageMount) || !p.StopsAt(StageVerify) || p.StopsAt(StageStorage) {
		t.Error("it stops elsewhere")
	}
}

func TestUnreadable(t *testing.T) {
	p, err := New(Input{CommandLine: `ddi.log=debug "open`})
	if !errors.Is(err, cmdline.ErrUnbalancedQuote) || p.Fail != FailReboot {
		t.Errorf("%v, %v", err, p.Fail)
	}
	if _, err := New(Input{Config: []byte("no equals sign")}); !errors.Is(err, settings.ErrSyntax) {
		t.Error(err)
	}
	// How to fail is known even where something else is wrong.
	if p, err := New(Input{CommandLine: "ddi.nonsense ddi.fail=poweroff"}); err == nil || p.Fail != FailPowerOff {
		t.Errorf("%v, %v", err, p.Fail)
	}
}

func TestDeviceZero(t *testing.T) {
	if s := (Device{}).String(); s != "the partition the firmware booted from" || !(Device{}).IsZero() || (Device{Label: "x"}).IsZero() {
		t.Error(s)
	}
}

// TestOneCertificateAFile: of two, systemd trusts the first; here neither is trusted, and the plan is not usable.
func TestOneCertificateAFile(t *testing.T) {
	var both []byte
	for _, name := range []string{"p256", "rsa2048"} {
		pem, err := os.ReadFile("../signature/testdata/" + name + ".crt")
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, pem...)
	}
	p, err := New(Input{Certificates: []CertificateFile{{Name: "two.crt", PEM: both}}})
	if !errors.Is(err, ErrValue) || !strings.Contains(err.Error(), "two.crt") || len(p.Trust) != 0 {
		t.Errorf("%v, %d trusted", err, len(p.Trust))
	}
}

// accepted is the part of a plan that says what is acceptable.
func accepted(p *Plan) []any {
	var subjects []string
	for _, c := range p.Trust {
		subjects = append(subjects, string(c.Raw))
	}
	return []any{subjects, p.Pins, p.DenyCerts, p.DenyRootHash, p.Identity}
}

// FuzzNew: nothing on the command line makes New panic, or changes what is acceptable.
func FuzzNew(f *testing.F) {
	pem, err := os.ReadFile("../signature/testdata/p256.crt")
	if err != nil {
		f.Fatal(err)
	}
	for _, k := range keyTests {
		for value := range k.good {
			f.Add("ddi."+k.key+"="+value, k.key+"="+value)
		}
		for _, value := range k.bad {
			f.Add("ddi."+strings.ReplaceAll(k.key, "-", "_")+"="+value, k.key+"="+value)
		}
	}
	f.Add(`"ddi.pin=`+hash64+`" -- ddi.id=x`, "pin="+hash64+"\nid=debian\nkind=os\nmin-version=2\n")
	f.Fuzz(func(t *testing.T, line, config string) {
		in := Input{Config: []byte(config), Certificates: []CertificateFile{{Name: "a.crt", PEM: pem}}}
		without, _ := New(in)
		in.CommandLine = line
		with, err := New(in)
		if with == nil {
			t.Fatal("no plan to fail by")
		}
		if !reflect.DeepEqual(accepted(with), accepted(without)) {
			t.Errorf("the command line %q changed what is acceptable:\n%v\n%v", line, accepted(without), accepted(with))
		}
		if err != nil {
			return
		}
		if with.Timeout <= 0 || !slices.Contains([]Fail{FailReboot, FailPowerOff, FailHalt}, with.Fail) || len(with.Break) > 0 {
			t.Errorf("%q: timeout %v, fail %v, break %v", line, with.Timeout, with.Fail, with.Break)
		}
		if (without.RootHash != nil && with.RootHash == nil) || len(with.InitsFor(KindOS)) == 0 || len(with.InitsFor(KindInitrd)) == 0 {
			t.Errorf("%q: lost the pin or the init", line)
		}
	})
}

// TestNoCredentials: whoever forbids systemd to take credentials forbids stage 1 to pass them on.
func TestNoCredentials(t *testing.T) {
	for cmdline, want := range map[string]bool{
		"": false, "systemd.import_credentials": false, "systemd.import_credentials=yes": false, "systemd.import_credentials=perhaps": false, "import_credentials=no": false,
		"systemd.import_credentials=no": true, "systemd.import-credentials=0": true, "rd.systemd.import_credentials=Off": true,
		// Nobody who can only add to the command line takes it back.
		"systemd.import_credentials=no systemd.import_credentials=yes": true,
	} {
		p, err := New(Input{CommandLine: cmdline})
		if p == nil || p.NoCredentials != want {
			t.Errorf("%q: %+v, %v", cmdline, p, err)
		}
	}
}
