// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package discover_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/ddi/dditest"
	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/discover/machinetest"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/resolve"
)

// TestListInitrd: what is listed is what a boot loader may have delivered, wherever it put it.
func TestListInitrd(t *testing.T) {
	arch, ok := gpt.ArchOf(runtime.GOARCH)
	if !ok {
		t.Skip("needs an architecture with partition types, not ", runtime.GOARCH)
	}
	set := dditest.Make(t)
	good, err := os.ReadFile(set.Path(dditest.Good))
	if err != nil {
		t.Fatal(err)
	}
	m := machinetest.New(t)
	machine, root := look(m), m.Root("")
	if l := machine.ListInitrd(root); l.Err != nil || len(l.Files) != 0 {
		t.Errorf("of nothing: %+v", l)
	}
	m.Write("ddi/os.raw", string(good))
	m.Write("ddi/os.roothash", set.RootHash)
	m.Write("ddi/more/ignored.raw", "x")
	m.Write(".extra/sysext/tool.sysext.raw", "x")
	// An archive of any length comes first.
	m.Write("sys/firmware/initrd", strings.Repeat("cpio", 1001)+string(good))
	m.Write("initrd.image", strings.Repeat("cpio", 1001))
	l := machine.ListInitrd(root)
	size := int64(len(good))
	want := []resolve.File{{Path: "/ddi/os.raw", Size: size}, {Path: "/ddi/os.roothash", Size: 64}, {Path: "/.extra/sysext/tool.sysext.raw", Size: 1}, {Path: "/sys/firmware/initrd", Size: size}}
	slices.SortFunc(l.Files[:2], func(a, b resolve.File) int { return strings.Compare(a.Path, b.Path) })
	if l.Err != nil || !reflect.DeepEqual(l.Files, want) {
		t.Errorf("%v, got %+v, want %+v", l.Err, l.Files, want)
	}
	for name, offset := range map[string]int64{"/ddi/os.raw": 0, "/sys/firmware/initrd": 4004} {
		img := machine.ReadInitrd(root, name, arch)
		if img.Err != nil || img.Signature == nil || hex.EncodeToString(img.Signature.RootHash) != set.RootHash || len(img.Extents) != 1 || img.Extents[0].Offset != offset || img.Extents[0].Length != size {
			t.Errorf("%s: %+v", name, img)
		}
	}
	for _, name := range []string{"/ddi/none.raw", "/initrd.image", "/ddi/os.roothash"} {
		if img := machine.ReadInitrd(root, name, arch); img.Err == nil || img.Table != nil {
			t.Errorf("%s: %+v", name, img)
		}
	}
}

// TestImageBehindInitramfs: whatever stands at the end, nothing outside the file is looked at.
func TestImageBehindInitramfs(t *testing.T) {
	m := machinetest.New(t)
	machine, root := look(m), m.Root("")
	header := func(sector int, last uint64) string {
		b := make([]byte, sector)
		copy(b, "EFI PART")
		for i := range 8 {
			b[24+i] = byte(last >> (8 * i))
		}
		return string(b)
	}
	room := strings.Repeat("x", 3*4096)
	for _, test := range []struct {
		content string
		size    int64 // 0: no image
	}{
		{"", 0}, {"EFI PART", 0}, {room, 0}, {header(512, 0), 512}, {room + header(512, 3), 4 * 512},
		{room + header(512, 24), 25 * 512}, {room + header(512, 25), 0}, {room + header(512, 1<<63), 0}, {room + header(512, 1<<64-1), 0},
		{room + header(4096, 2), 3 * 4096}, {room + header(4096, 4), 0}, {header(512, 3)[:100], 0},
	} {
		m.Write("initrd.image", test.content)
		l := machine.ListInitrd(root)
		var want []resolve.File
		if test.size > 0 {
			want = []resolve.File{{Path: "/initrd.image", Size: test.size}}
		}
		if l.Err != nil || !reflect.DeepEqual(l.Files, want) {
			t.Errorf("%d bytes: %v, got %+v, want %+v", len(test.content), l.Err, l.Files, want)
		}
	}
}

// TestInitrdBounds: an archive with any number of files is an error, not a boot without end.
func TestInitrdBounds(t *testing.T) {
	m := machinetest.New(t)
	for i := range discover.MaxFiles {
		m.Write(fmt.Sprintf("ddi/%d.raw", i), "")
	}
	if l := look(m).ListInitrd(m.Root("")); l.Err != nil || len(l.Files) != discover.MaxFiles {
		t.Errorf("%v, %d files", l.Err, len(l.Files))
	}
	m.Write(".extra/sysext/one-more.raw", "")
	if l := look(m).ListInitrd(m.Root("")); l.Err == nil || len(l.Files) != 0 {
		t.Errorf("%v, %d files", l.Err, len(l.Files))
	}
}

// TestBesideInInitrd: a signature in a file of its own is found; a hash tree is not silently left out.
func TestBesideInInitrd(t *testing.T) {
	m := machinetest.New(t)
	set := dditest.Make(t)
	image, err := os.ReadFile(set.Path(dditest.NoSig))
	if err != nil {
		t.Fatal(err)
	}
	m.Write("ddi/os.raw", string(image))
	m.Write("ddi/os.roothash.p7s", "signature")
	arch, _ := gpt.ArchOf(runtime.GOARCH)
	read := func() *resolve.Image { return look(m).ReadInitrd(m.Root(""), "/ddi/os.raw", arch) }
	if img := read(); img.Err != nil || !bytes.Equal(img.Beside.Signature, []byte("signature")) {
		t.Errorf("%+v", img)
	}
	m.Write("ddi/os.verity", "tree")
	if img := read(); img.Err == nil || !strings.Contains(img.Err.Error(), "boot partition alone") {
		t.Errorf("%v", img.Err)
	}
	m.Write("ddi/os.roothash", strings.Repeat("a", 1<<20))
	if img := read(); img.Err == nil {
		t.Error("a root hash of 1 MiB is read")
	}
}

// TestPmem: devices of persistent memory are found whole, not their partitions, and no other disk.
func TestPmem(t *testing.T) {
	set := dditest.Make(t)
	m := machinetest.New(t)
	machine := look(m)
	if got := machine.Pmem(); len(got) != 0 {
		t.Errorf("on a machine without: %v", got)
	}
	table := &gpt.Table{SectorSize: 512}
	m.Disk("pmem0", set.Path(dditest.Good), 512, table)
	m.Disk("vda", set.Path(dditest.Good), 512, table)
	info, err := os.Stat(set.Path(dditest.Good))
	if err != nil {
		t.Fatal(err)
	}
	want := []resolve.Device{{Node: "pmem0", Size: info.Size(), SectorSize: 512}}
	if got := machine.Pmem(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	arch, _ := gpt.ArchOf(runtime.GOARCH)
	img := machine.ReadDevice(want[0], arch)
	if img.Err != nil || hex.EncodeToString(img.Signature.RootHash) != set.RootHash || img.Extents.Size() != info.Size() {
		t.Errorf("%+v", img)
	}
	// Its node comes later than its directory.
	if err := os.Remove(m.Path("dev/pmem0")); err != nil {
		t.Fatal(err)
	}
	if got := machine.Pmem(); len(got) != 0 {
		t.Errorf("without its node: %v", got)
	}
	if img := machine.ReadDevice(want[0], arch); img.Err == nil {
		t.Error("it is read all the same")
	}
	// What cannot be read is said once.
	if err := os.Mkdir(m.Path("dev/pmem0"), 0o755); err != nil {
		t.Fatal(err)
	}
	if img := machine.ReadDevice(want[0], arch); img.Err == nil || strings.Count(img.Err.Error(), "is a directory") != 1 || !strings.HasPrefix(img.Err.Error(), "cannot read /dev/pmem0: ") {
		t.Errorf("a node that cannot be read: %v", img.Err)
	}
}
