// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package capture_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/initddi/initddi/internal/capture"
	"github.com/initddi/initddi/internal/drivers"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/kmodules"
	"github.com/initddi/initddi/internal/modtable"
	"github.com/initddi/initddi/internal/program"
	"github.com/initddi/initddi/internal/stage1"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fixtures are captured machines. "just capture-fixtures" makes those of QEMU (vmtest/machines says of what they consist);
// firecracker was recorded with "initddi capture" on a Firecracker machine of a cloud, whose disk nobody may read.
var fixtures = []struct {
	name, table string
	arch        gpt.Arch
	// devices are what --for-host --device is asked for besides what a boot would take.
	devices []string
}{
	{"q35", "amd64", gpt.X86_64, []string{"/dev/nvme0n2", "/dev/nvme1n1", "/dev/sda", "/dev/sdb", "/dev/sdc", "/dev/sdc1"}},
	{"matrix", "amd64", gpt.X86_64, nil},
	{"microvm", "amd64", gpt.X86_64, nil},
	{"arm64-virt", "arm64", gpt.ARM64, []string{"/dev/mmcblk0", "/dev/sda"}},
	{"firecracker", "amd64", gpt.X86_64, []string{"/dev/vda"}},
}

// TestFixtures compares what stage 1 sees of captured machines with golden files: partitions and files, which modules it would load,
// how a dry run ends, and what is on the way to a disk.
func TestFixtures(t *testing.T) {
	for _, f := range fixtures {
		t.Run(f.name, func(t *testing.T) {
			dir, cleanup, err := capture.Open(context.Background(), filepath.Join("testdata/machines", f.name+".tar.gz"))
			if errors.Is(err, program.ErrMissing) {
				t.Skip("needs ", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cleanup)
			out := "== discovery\n" + look(t, dir)
			out += "== modules of " + f.table + "\n" + modulesFor(t, dir, f.table)
			var dry bytes.Buffer
			err = stage1.Command(context.Background(), &dry, []string{"--dry-run", "--root", dir, "--arch", string(f.arch)})
			out += fmt.Sprintf("== dry run: %v\n%s", err, dry.String())
			for _, device := range append([]string{""}, f.devices...) {
				out += fmt.Sprintf("== for host, --device %q\n%s", device, wayTo(t, dir, device))
			}
			golden(t, f.name+".txt", out)
		})
	}
}

// modulesFor returns what stage 1 loads for the devices of a machine, in an order in which it may: the table is that of Debian's
// kernel with every class.
func modulesFor(t *testing.T, dir, table string) string {
	t.Helper()
	sys := openRoot(t, dir, "sys")
	cpu, err := sys.ReadFile("devices/system/cpu/modalias")
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var loaded []string
	l := drivers.New(readTable(t, table), strings.TrimSpace(string(cpu)), func(modtable.Module) error { return nil }, func(m modtable.Module, err error) {
		mu.Lock()
		defer mu.Unlock()
		loaded = append(loaded, m.Name)
	})
	var wanted []string
	for _, d := range drivers.Devices(sys) {
		if l.Offer(d.Modalias) {
			wanted = append(wanted, fmt.Sprintf("%s %.60s\n", filepath.Base(d.Path), d.Modalias))
		}
	}
	for l.Busy() {
		<-l.Idle()
	}
	if err := l.WaitFeature("verity"); err != nil {
		t.Fatal(err)
	}
	slices.Sort(loaded)
	return strings.Join(wanted, "") + strings.Join(loaded, " ") + "\n"
}

// readTable reads a module table that "initddi initramfs --class all --fs erofs" wrote for Debian's generic kernel.
func readTable(t *testing.T, name string) *modtable.Table {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "modules-"+name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	table, err := modtable.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func openRoot(t *testing.T, dir, name string) *os.Root {
	t.Helper()
	r, err := os.OpenRoot(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// wayTo returns what --for-host finds.
func wayTo(t *testing.T, dir, device string) string {
	t.Helper()
	h, err := kmodules.FindHost(openRoot(t, dir, "sys"), openRoot(t, dir, "dev"), device)
	if err != nil {
		return err.Error() + "\n"
	}
	out := fmt.Sprintf("/dev/%s, EFI %v\n", h.Node, h.EFI)
	for _, d := range h.Way {
		out += fmt.Sprintf("  %s %s %s\n", d, d.Module, d.Modalias)
	}
	return out
}

// golden compares got with a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
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

// TestFixturesAreSmall: they are in the repository.
func TestFixturesAreSmall(t *testing.T) {
	files, err := filepath.Glob("testdata/machines/*.tar.gz")
	if err != nil || len(files) != len(fixtures) {
		t.Fatalf("%d archives of %d machines, %v", len(files), len(fixtures), err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() > 40<<10 {
			t.Errorf("%s has %d bytes, %v", f, info.Size(), err)
		}
	}
}
