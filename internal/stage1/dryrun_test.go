// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/attempt"
	"github.com/initddi/initddi/internal/ddi/dditest"
	"github.com/initddi/initddi/internal/discover/machinetest"
	"github.com/initddi/initddi/internal/esp"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/program"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	uuid1 = guid.MustParse("11111111-1111-4111-8111-111111111111")
	uuid2 = guid.MustParse("22222222-2222-4222-8222-222222222222")
)

// espWith adds a disk with an ESP that holds the images of the set; a name "PATH=IMAGE" says where, "IMAGE" is in /loader/ddi.
func espWith(t *testing.T, m *machinetest.Machine, node string, id guid.GUID, set *dditest.Set, images ...string) {
	t.Helper()
	disk, table := diskWith(t, id, set, images...)
	m.Disk(node, disk, 512, table)
}

// diskWith makes such a disk.
func diskWith(t *testing.T, id guid.GUID, set *dditest.Set, images ...string) (string, *gpt.Table) {
	t.Helper()
	o := esp.Options{ESPUUID: id}
	for _, name := range images {
		path, image, ok := strings.Cut(name, "=")
		if !ok {
			path, image = "/loader/ddi/"+name, name
		}
		o.Files = append(o.Files, esp.File{Path: path, Source: set.Path(image)})
	}
	disk := filepath.Join(t.TempDir(), "disk.img")
	table, err := esp.Build(context.Background(), disk, o)
	if errors.Is(err, program.ErrMissing) {
		t.Skip("needs ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return disk, table
}

// trust puts a certificate of the set into the machine's trust store.
func trust(t *testing.T, m *machinetest.Machine, set *dditest.Set, cert string) {
	t.Helper()
	b, err := os.ReadFile(set.Path(cert))
	if err != nil {
		t.Fatal(err)
	}
	m.Write("etc/verity.d/"+cert, string(b))
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// unstable is what differs with the keys, the version of mkfs.erofs and the machine: hashes, UUIDs made of them, serial numbers, fingerprints,
// the architecture.
var unstable = regexp.MustCompile(`[0-9a-f]{64}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|serial [0-9a-f]+|certificate [0-9a-f]{16}|\b(x86-64|arm64)\b`)

// TestDryRun runs the program on captured machines and compares what it prints.
func TestDryRun(t *testing.T) {
	if _, ok := gpt.ArchOf(runtime.GOARCH); !ok {
		t.Skip("needs an architecture with partition types, not ", runtime.GOARCH)
	}
	set := dditest.Make(t)
	for _, test := range []struct {
		name    string
		machine func(m *machinetest.Machine)
	}{
		{"good", func(m *machinetest.Machine) {
			espWith(t, m, "vda", uuid1, set, dditest.Good, "/loader/ddi/x.sysext.raw="+dditest.Good, "/loader/ddi/y_2.sysext.raw="+dditest.Stranger, "/loader/ddi/y_1.sysext.raw="+dditest.Usr,
				"/loader/ddi/y_1.sysext.raw.v/y_1_2.sysext.raw="+dditest.Usr, "/loader/ddi/z.confext.raw="+dditest.Usr)
			m.Firmware(uuid1, "/EFI/Linux/debian+3.efi")
			trust(t, m, set, dditest.Cert)
			m.Write("proc/cmdline", "console=ttyS0 quiet\n")
		}},
		{"two paths", func(m *machinetest.Machine) {
			disk, table := diskWith(t, uuid1, set, dditest.Good)
			for i, node := range []string{"sda", "sdb"} {
				m.SCSI(fmt.Sprintf("devices/pci0000:00/0000:00:0%d.0/host%d", i+3, i), node, "naa.5000c50015ea71ac", disk, table)
			}
			trust(t, m, set, dditest.Cert)
		}},
		{"two paths and USB", func(m *machinetest.Machine) {
			disk, table := diskWith(t, uuid1, set, dditest.Good)
			for i, at := range []string{"0000:00:03.0", "0000:00:14.0/usb2/2-1/2-1:1.0"} {
				m.SCSI(fmt.Sprintf("devices/pci0000:00/%s/host%d", at, i), fmt.Sprintf("sd%c", 'a'+i), "naa.5000c50015ea71ac", disk, table)
			}
			m.Firmware(uuid1, "/EFI/Linux/debian+3.efi")
			trust(t, m, set, dditest.Cert)
		}},
		{"unsigned", func(m *machinetest.Machine) {
			espWith(t, m, "vda", uuid1, set, dditest.Unsigned)
			trust(t, m, set, dditest.Cert)
		}},
		{"stranger then good", func(m *machinetest.Machine) {
			espWith(t, m, "vda", uuid1, set, "/loader/ddi/os_2.raw="+dditest.Stranger, "/loader/ddi/os_1.raw="+dditest.Good)
			trust(t, m, set, dditest.Cert)
		}},
		{"none", func(m *machinetest.Machine) {
			espWith(t, m, "vda", uuid1, set)
			trust(t, m, set, dditest.Cert)
		}},
		{"everything is wrong", func(m *machinetest.Machine) {
			espWith(t, m, "vda", uuid1, set, dditest.BadSig, dditest.Empty, dditest.Foreign, dditest.NoRoot, dditest.TwoRoots, dditest.Unsigned, dditest.WrongUUID, dditest.Stranger)
			trust(t, m, set, dditest.Cert)
		}},
		{"settings", func(m *machinetest.Machine) {
			write(t, set.Path("settings"), "image=os_1*\n")
			espWith(t, m, "vda", uuid1, set, "/loader/ddi/os_2.raw="+dditest.Good, "/loader/ddi/os_1.raw="+dditest.Good, "/loader/ddi/initddi.conf=settings")
			trust(t, m, set, dditest.Cert)
		}},
		{"settings refused", func(m *machinetest.Machine) {
			write(t, set.Path("settings"), "image=os_1*\ninit=/bin/sh\n")
			espWith(t, m, "vda", uuid1, set, "/loader/ddi/os_2.raw="+dditest.Good, "/loader/ddi/os_1.raw="+dditest.Good, "/loader/ddi/initddi.conf=settings")
			trust(t, m, set, dditest.Cert)
		}},
		{"attempted", func(m *machinetest.Machine) {
			espWith(t, m, "vda", uuid1, set, "/loader/ddi/os_2.raw="+dditest.Good, "/loader/ddi/os_1.raw="+dditest.Unsigned)
			m.Firmware(uuid1, "/a.efi")
			hash, err := hex.DecodeString(set.RootHash)
			if err != nil {
				t.Fatal(err)
			}
			m.VariableOf(attempt.Variable, attempt.Vendor(), attempt.Record{}.Entered(hash).Encode())
			trust(t, m, set, dditest.Cert)
		}},
		{"pinned", func(m *machinetest.Machine) {
			espWith(t, m, "vda", uuid1, set, dditest.Good)
			m.Write("etc/initddi/stage1.conf", "pin="+set.RootHash+"\nid=example\n")
			m.Write("proc/cmdline", "ddi.roothash="+set.RootHash+" roothash="+set.RootHash+"\n")
		}},
		{"malformed variables", func(m *machinetest.Machine) {
			espWith(t, m, "vda", uuid1, set, dditest.Good)
			m.Variable("StubDevicePartUUID", []byte("nonsense"))
			m.VariableOf(attempt.Variable, attempt.Vendor(), []byte("nonsense"))
			trust(t, m, set, dditest.Cert)
		}},
		{"a disk without a table", func(m *machinetest.Machine) {
			espWith(t, m, "vda", uuid1, set, dditest.Good)
			if err := os.WriteFile(m.Path("dev/vda"), make([]byte, 1<<20), 0o644); err != nil {
				t.Fatal(err)
			}
			trust(t, m, set, dditest.Cert)
		}},
		{"two disks", func(m *machinetest.Machine) {
			espWith(t, m, "vda", uuid1, set, dditest.Good)
			espWith(t, m, "vdb", uuid2, set, dditest.Good)
			trust(t, m, set, dditest.Cert)
		}},
		{"two disks and a choice", func(m *machinetest.Machine) {
			espWith(t, m, "vda", uuid1, set, dditest.Good)
			espWith(t, m, "vdb", uuid2, set, dditest.Good)
			trust(t, m, set, dditest.Cert)
			m.Write("proc/cmdline", "ddi.device=PARTUUID="+uuid2.String()+"\n")
		}},
		{"no disk", func(m *machinetest.Machine) {
			m.Firmware(uuid1, "/EFI/Linux/debian.efi")
			trust(t, m, set, dditest.Cert)
		}},
		{"own directory", func(m *machinetest.Machine) {
			espWith(t, m, "vda", uuid1, set, "/loader/ddi/os_9.raw="+dditest.Good, "/EFI/Linux/debian.efi.ddi.d/os_1.raw="+dditest.Good)
			m.Firmware(uuid1, "/EFI/Linux/debian+3-1.efi")
			trust(t, m, set, dditest.Cert)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := machinetest.New(t)
			test.machine(m)
			for _, args := range [][]string{{}, {"--json"}} {
				var out bytes.Buffer
				err := Command(context.Background(), &out, append([]string{"--dry-run", "--root", m.Dir}, args...))
				if err != nil && !errors.Is(err, ErrNothing) {
					t.Fatal(err)
				}
				if enters := strings.Contains(out.String(), "if the identity rules take it"); enters != (err == nil) {
					t.Errorf("%v, but it says\n%s", err, out.String())
				}
				suffix := ".txt"
				if len(args) > 0 {
					suffix = ".json"
					if !json.Valid(out.Bytes()) {
						t.Errorf("not JSON: %s", out.Bytes())
					}
				}
				name := strings.ReplaceAll(test.name, " ", "-")
				if test.name == "good" && !hasMerge {
					name += "-nomerge" // it has extensions
				}
				golden(t, name+suffix, out.String())
			}
		})
	}
}

// golden compares got with a file, after what differs from run to run was replaced.
func golden(t *testing.T, name, got string) {
	t.Helper()
	seen := map[string]string{}
	got = unstable.ReplaceAllStringFunc(got, func(h string) string {
		if h == uuid1.String() || h == uuid2.String() {
			return h
		}
		if seen[h] == "" {
			seen[h] = "SOME-" + string(rune('A'+len(seen)))
		}
		return seen[h]
	})
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s\n(go test -run %s -update, and look at the difference)", name, got, want, t.Name())
	}
}

func TestCommand(t *testing.T) {
	m := machinetest.New(t)
	for _, test := range []struct {
		args string
		err  string // empty: none
	}{
		{"", "not process 1"},
		{"--dry-run --arch riscv64 --root " + m.Dir, `"riscv64"`},
		{"--dry-run --arch", "arch"},
		{"--root " + m.Dir, "not process 1"},
		{"--dry-run --root " + m.Dir + " extra", `"extra"`},
		{"--dry-run --root " + m.Dir + "/nothing", "cannot open the machine"},
		{"--nonsense", "nonsense"},
		{"--dry-run --root " + m.Dir + " --cmdline ddi.log=loud", "ddi.log=loud"},
		{"--dry-run --root " + m.Dir, ErrNothing.Error()},
		{"--help", ""},
	} {
		var out bytes.Buffer
		err := Command(context.Background(), &out, strings.Fields(test.args))
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%q: %v, want %q", test.args, err, test.err)
		}
	}
	if err := Command(context.Background(), &bytes.Buffer{}, nil); !errors.Is(err, ErrNotPID1) {
		t.Error(err)
	}
	var out bytes.Buffer
	if err := Command(context.Background(), &out, []string{"--dry-run", "--root", m.Dir, "--cmdline", "ddi.device=/dev/vdz"}); !errors.Is(err, ErrNothing) || !strings.Contains(out.String(), "waits for /dev/vdz (ddi.device=)") {
		t.Errorf("%v: %s", err, out.String())
	}
}

// TestArch judges a machine of the other architecture: what is foreign here is its own there.
func TestArch(t *testing.T) {
	own, err := Arch()
	if err != nil {
		t.Skip("needs an architecture with partition types: ", err)
	}
	other := map[gpt.Arch]gpt.Arch{gpt.X86_64: gpt.ARM64, gpt.ARM64: gpt.X86_64}[own]
	set := dditest.Make(t)
	for _, test := range []struct {
		image string
		arch  gpt.Arch
		err   error
	}{
		{dditest.Good, "", nil}, {dditest.Good, own, nil}, {dditest.Good, other, ErrNothing},
		{dditest.Foreign, "", ErrNothing}, {dditest.Foreign, own, ErrNothing}, {dditest.Foreign, other, nil},
	} {
		m := machinetest.New(t)
		espWith(t, m, "vda", uuid1, set, test.image)
		trust(t, m, set, dditest.Cert)
		args := []string{"--dry-run", "--root", m.Dir}
		if test.arch != "" {
			args = append(args, "--arch="+string(test.arch))
		}
		var out bytes.Buffer
		if err := Command(context.Background(), &out, args); !errors.Is(err, test.err) {
			t.Errorf("%s as %q: %v, want %v\n%s", test.image, test.arch, err, test.err, out.String())
		}
	}
}

func TestPlanInput(t *testing.T) {
	m := machinetest.New(t)
	m.Write("proc/cmdline", "a b=c\n")
	m.Write("etc/verity.d/b.crt", "B")
	m.Write("etc/verity.d/a.crt", "A")
	m.Write("etc/verity.d/README", "not a certificate")
	m.Write("etc/initddi/stage1.conf", "id=x\n")
	world, err := Open(m.Dir)
	if err != nil {
		t.Fatal(err)
	}
	in, err := world.PlanInput(nil)
	if err != nil {
		t.Fatal(err)
	}
	if in.CommandLine != "a b=c" || string(in.Config) != "id=x\n" || in.HasShell || len(in.Certificates) != 2 {
		t.Errorf("got %+v", in)
	}
	m.Write("bbin/gosh", "")
	text := "other"
	if in, err = world.PlanInput(&text); err != nil || in.CommandLine != "other" || !in.HasShell {
		t.Errorf("got %+v, %v", in, err)
	}
	m.Write("etc/initddi/stage1.conf", strings.Repeat("#", maxBaked+1))
	if _, err := world.PlanInput(nil); err == nil || !strings.Contains(err.Error(), plan.ConfigPath) {
		t.Errorf("too large: %v", err)
	}
	// Nothing baked in is nothing to trust, and no error here.
	empty, err := Open(machinetest.New(t).Dir)
	if err != nil {
		t.Fatal(err)
	}
	if in, err := empty.PlanInput(nil); err != nil || in.Config != nil || in.Certificates != nil || in.HasShell {
		t.Errorf("got %+v, %v", in, err)
	}
	if table, err := empty.Modules(); err != nil || table.Release != "none" {
		t.Errorf("no table: %v, %v", table, err)
	}
	m.Write("etc/initddi/modules", "nonsense")
	if _, err := world.Modules(); err == nil || !strings.Contains(err.Error(), ModuleTable) {
		t.Errorf("a broken table: %v", err)
	}
}
