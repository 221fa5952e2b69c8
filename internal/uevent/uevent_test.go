// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package uevent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// message joins its parts the way the kernel does.
func message(parts ...string) []byte { return []byte(strings.Join(parts, "\x00") + "\x00") }

// partition is a message as Linux 6.12 sends it.
var partition = message(
	"add@/devices/pci0000:00/0000:00:04.0/virtio1/block/vda/vda1",
	"ACTION=add",
	"DEVPATH=/devices/pci0000:00/0000:00:04.0/virtio1/block/vda/vda1",
	"SUBSYSTEM=block",
	"MAJOR=254",
	"MINOR=1",
	"DEVNAME=vda1",
	"DEVTYPE=partition",
	"DISKSEQ=9",
	"PARTN=1",
	"PARTNAME=EFI System=x",
	"SEQNUM=1234",
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name string
		msg  []byte
		want Event
	}{
		{"partition", partition, Event{
			Action: "add", DevPath: "/devices/pci0000:00/0000:00:04.0/virtio1/block/vda/vda1", Subsystem: "block",
			DevName: "vda1", DevType: "partition", Major: 254, Minor: 1, Seqnum: 1234,
			Env: []string{
				"ACTION=add", "DEVPATH=/devices/pci0000:00/0000:00:04.0/virtio1/block/vda/vda1", "SUBSYSTEM=block", "MAJOR=254", "MINOR=1",
				"DEVNAME=vda1", "DEVTYPE=partition", "DISKSEQ=9", "PARTN=1", "PARTNAME=EFI System=x", "SEQNUM=1234",
			},
		}},
		{"bus device", message("bind@/devices/pci0000:00/0000:00:04.0", "ACTION=bind", "DEVPATH=/devices/pci0000:00/0000:00:04.0",
			"SUBSYSTEM=pci", "DRIVER=virtio-pci", "MODALIAS=pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00", "SEQNUM=18446744073709551615"), Event{
			Action: "bind", DevPath: "/devices/pci0000:00/0000:00:04.0", Subsystem: "pci", Driver: "virtio-pci",
			Modalias: "pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00", Seqnum: 18446744073709551615,
			Env: []string{"ACTION=bind", "DEVPATH=/devices/pci0000:00/0000:00:04.0", "SUBSYSTEM=pci", "DRIVER=virtio-pci",
				"MODALIAS=pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00", "SEQNUM=18446744073709551615"},
		}},
		{"header only", message("change@/devices/x"), Event{Action: "change", DevPath: "/devices/x"}},
		{"largest device number", message("add@/x", "MAJOR=4095", "MINOR=1048575"), Event{Action: "add", DevPath: "/x", Major: 4095, Minor: 1048575, Env: []string{"MAJOR=4095", "MINOR=1048575"}}},
		{"device node in a directory", message("add@/x", "DEVNAME=mapper/control"), Event{Action: "add", DevPath: "/x", DevName: "mapper/control", Env: []string{"DEVNAME=mapper/control"}}},
		{"CPU", message("add@/x", "MODALIAS=cpu:type:x86\n"), Event{Action: "add", DevPath: "/x", Modalias: "cpu:type:x86", Env: []string{"MODALIAS=cpu:type:x86\n"}}},
		{"last value counts", message("add@/x", "DRIVER=a", "DRIVER=b"), Event{Action: "add", DevPath: "/x", Driver: "b", Env: []string{"DRIVER=a", "DRIVER=b"}}},
		{"empty and odd values", message("add@/x@y", "MODALIAS=", "A==", "B=\n\xff"), Event{Action: "add", DevPath: "/x@y", Env: []string{"MODALIAS=", "A==", "B=\n\xff"}}},
		{"dots that are names", message("add@/.../a..b", "DEVNAME=..."), Event{Action: "add", DevPath: "/.../a..b", DevName: "...", Env: []string{"DEVNAME=..."}}},
	} {
		got, err := Parse(tt.msg)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
}

func TestParseCopies(t *testing.T) {
	msg := append([]byte(nil), partition...)
	e, err := Parse(msg)
	if err != nil {
		t.Fatal(err)
	}
	clear(msg)
	if e.DevName != "vda1" || e.Env[0] != "ACTION=add" {
		t.Errorf("the event refers to the message: %+v", e)
	}
}

func TestGet(t *testing.T) {
	e, err := Parse(append(partition, "PARTN=2\x00"...))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		key, want string
		ok        bool
	}{
		{"PARTN", "2", true}, {"PARTNAME", "EFI System=x", true}, {"DISKSEQ", "9", true}, {"PART", "", false}, {"", "", false},
	} {
		if got, ok := e.Get(tt.key); got != tt.want || ok != tt.ok {
			t.Errorf("Get(%q) = %q, %v, want %q, %v", tt.key, got, ok, tt.want, tt.ok)
		}
	}
}

func manyKeys(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("K%d=v", i))
	}
	return out
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		msg  []byte
		want error
		text string
	}{
		{"nothing", nil, ErrSyntax, "0 bytes without a NUL"},
		{"one NUL", []byte{0}, ErrSyntax, `header is "", want ACTION@DEVPATH`},
		{"udev", []byte("libudev\x00\xfe\xed\xca\xfe"), ErrNotKernel, "message from udev"},
		{"udev, cut off", []byte("libudev"), ErrNotKernel, ""},
		{"cut off", partition[:len(partition)-1], ErrSyntax, "without a NUL at the end"},
		{"too long", message("add@/x", "A="+strings.Repeat("x", MaxSize-9)), ErrSyntax, "8193 bytes, want at most 8192"},
		{"too many keys", message(append([]string{"add@/x"}, manyKeys(65)...)...), ErrSyntax, "65 keys, want at most 64"},
		{"no @", message("add/x"), ErrSyntax, `header is "add/x"`},
		{"no action", message("@/x"), ErrSyntax, `header is "@/x"`},
		{"path relative", message("add@x"), ErrSyntax, `device path is "x"`},
		{"path empty", message("add@"), ErrSyntax, `device path is ""`},
		{"path is the root", message("add@/"), ErrSyntax, `device path is "/"`},
		{"path leads out", message("add@/devices/../../etc"), ErrSyntax, "device path is"},
		{"other action", message("add@/x", "ACTION=remove"), ErrSyntax, `ACTION="remove"`},
		{"other path", message("add@/x", "DEVPATH=/y"), ErrSyntax, `DEVPATH="/y"`},
		{"path leads out later", message("add@/x", "DEVPATH=/.."), ErrSyntax, "bad value"},
		{"empty action", message("add@/x", "ACTION="), ErrSyntax, "bad value"},
		{"no =", message("add@/x", "DRIVER"), ErrSyntax, `got "DRIVER", want KEY=VALUE`},
		{"no key", message("add@/x", "=v"), ErrSyntax, `got "=v"`},
		{"two NULs", message("add@/x", "A=b", ""), ErrSyntax, `got ""`},
		{"node is absolute", message("add@/x", "DEVNAME=/dev/vda"), ErrSyntax, "bad value"},
		{"node leads out", message("add@/x", "DEVNAME=../etc/passwd"), ErrSyntax, "bad value"},
		{"node leads out inside", message("add@/x", "DEVNAME=a/../../b"), ErrSyntax, "bad value"},
		{"node is a dot", message("add@/x", "DEVNAME=."), ErrSyntax, "bad value"},
		{"node empty", message("add@/x", "DEVNAME="), ErrSyntax, "bad value"},
		{"subsystem is a path", message("add@/x", "SUBSYSTEM=a/b"), ErrSyntax, "bad value"},
		{"major too large", message("add@/x", "MAJOR=4096"), ErrSyntax, `bad value in "MAJOR=4096"`},
		{"minor too large", message("add@/x", "MINOR=1048576"), ErrSyntax, "bad value"},
		{"minor negative", message("add@/x", "MINOR=-1"), ErrSyntax, "bad value"},
		{"minor hexadecimal", message("add@/x", "MINOR=0x1"), ErrSyntax, "bad value"},
		{"seqnum too large", message("add@/x", "SEQNUM=18446744073709551616"), ErrSyntax, "bad value"},
		{"seqnum empty", message("add@/x", "SEQNUM="), ErrSyntax, "bad value"},
	} {
		got, err := Parse(tt.msg)
		if !errors.Is(err, tt.want) || !reflect.DeepEqual(got, Event{}) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: got %+v, %v, want %q", tt.name, got, err, tt.text)
		}
	}
	if _, err := Parse(message("add@/x", "A="+strings.Repeat("x", MaxSize-10))); err != nil {
		t.Errorf("longest message: %v", err)
	}
	if _, err := Parse(message(append([]string{"add@/x"}, manyKeys(64)...)...)); err != nil {
		t.Errorf("most keys: %v", err)
	}
}

func TestParseFile(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		want       Event
		ok         bool
	}{
		{"disk", "MAJOR=254\nMINOR=0\nDEVNAME=vda\nDEVTYPE=disk\nDISKSEQ=9\n", Event{DevName: "vda", DevType: "disk", Major: 254,
			Env: []string{"MAJOR=254", "MINOR=0", "DEVNAME=vda", "DEVTYPE=disk", "DISKSEQ=9"}}, true},
		{"bus device", "DRIVER=virtio_blk\nMODALIAS=virtio:d00000002v00001AF4\n", Event{Driver: "virtio_blk", Modalias: "virtio:d00000002v00001AF4",
			Env: []string{"DRIVER=virtio_blk", "MODALIAS=virtio:d00000002v00001AF4"}}, true},
		{"empty", "", Event{}, true},
		{"no newline at the end", "DRIVER=x", Event{Driver: "x", Env: []string{"DRIVER=x"}}, true},
		{"only a newline", "\n", Event{}, true},
		{"CPU", "DRIVER=processor\nMODALIAS=cpu:type:x86\n\nA=b\n", Event{Driver: "processor", Modalias: "cpu:type:x86",
			Env: []string{"DRIVER=processor", "MODALIAS=cpu:type:x86", "A=b"}}, true},
		{"no =", "DRIVER\n", Event{}, false},
		{"NUL", "DRIVER=x\x00MODALIAS=y\n", Event{}, false},
		{"node leads out", "DEVNAME=../x\n", Event{}, false},
		{"too long", "A=" + strings.Repeat("x", MaxSize-1), Event{}, false},
		{"too many keys", strings.Join(manyKeys(65), "\n"), Event{}, false},
	} {
		got, err := ParseFile([]byte(tt.file))
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrSyntax) || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
}

// TestParseFileOfThisMachine reads what a real kernel writes.
func TestParseFileOfThisMachine(t *testing.T) {
	var files []string
	for _, pattern := range []string{"/sys/block/*/uevent", "/sys/class/*/*/uevent", "/sys/bus/*/devices/*/uevent"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		t.Skip("needs uevent files in /sys (a Linux kernel)")
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // gone, or not for everybody
		}
		if _, err := ParseFile(b); err != nil {
			t.Errorf("%s: %v in\n%s", name, err, b)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(partition)
	f.Add(message("add@/x"))
	f.Add(message("bind@/devices/y", "ACTION=bind", "DRIVER=virtio_blk", "MODALIAS=virtio:d2"))
	f.Add([]byte("libudev\x00"))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, msg []byte) {
		e, err := Parse(msg)
		if err != nil {
			if !errors.Is(err, ErrSyntax) && !errors.Is(err, ErrNotKernel) || !reflect.DeepEqual(e, Event{}) {
				t.Fatalf("got %+v, %v", e, err)
			}
			return
		}
		if again := message(append([]string{e.Action + "@" + e.DevPath}, e.Env...)...); string(again) != string(msg) {
			t.Fatalf("%q became %q", msg, again)
		}
		checkPaths(t, e)
		// The same environment as a file says the same.
		if len(e.Env) == 0 || strings.Contains(string(msg), "\n") {
			return
		}
		file, err := ParseFile([]byte(strings.Join(e.Env, "\n") + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		file.Action, file.DevPath = e.Action, e.DevPath
		if !reflect.DeepEqual(file, e) {
			t.Fatalf("message %+v, file %+v", e, file)
		}
	})
}

func FuzzParseFile(f *testing.F) {
	f.Add([]byte("MAJOR=254\nMINOR=0\nDEVNAME=vda\nDEVTYPE=disk\n"))
	f.Add([]byte("DRIVER=x\nMODALIAS=virtio:d2\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseFile(b)
		if err != nil {
			if !errors.Is(err, ErrSyntax) || !reflect.DeepEqual(e, Event{}) {
				t.Fatalf("got %+v, %v", e, err)
			}
			return
		}
		again, err := ParseFile([]byte(strings.Join(e.Env, "\n")))
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("%q became %+v, then %+v, %v", b, e, again, err)
		}
		checkPaths(t, e)
	})
}

func checkPaths(t *testing.T, e Event) {
	t.Helper()
	if len(e.Env) > MaxKeys || e.Major < 0 || e.Major > 4095 || e.Minor < 0 || e.Minor > 1<<20-1 {
		t.Fatalf("out of bounds: %+v", e)
	}
	for _, p := range []struct{ dir, name string }{{"/sys", e.DevPath}, {"/dev", e.DevName}, {"/sys/class", e.Subsystem}} {
		if p.name != "" && filepath.Clean(p.dir+"/"+p.name) != p.dir+"/"+strings.TrimPrefix(p.name, "/") {
			t.Fatalf("%q is not below %s", p.name, p.dir)
		}
	}
}
