// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package discover_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"testing"

	"github.com/initddi/initddi/internal/ddi/dditest"
	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/discover/machinetest"
	"github.com/initddi/initddi/internal/esp"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/resolve"
	"github.com/initddi/initddi/internal/signature"
)

func TestReadImage(t *testing.T) {
	arch, ok := gpt.ArchOf(runtime.GOARCH)
	if !ok {
		t.Skip("needs an architecture with partition types, not ", runtime.GOARCH)
	}
	set := dditest.Make(t)
	files := []esp.File{{Path: "/loader/ddi/pieces.raw", Source: set.Path(dditest.Good), Fragments: 50}, {Path: "/loader/ddi/nothing.raw"}}
	for _, name := range dditest.Images() {
		files = append(files, esp.File{Path: "/loader/ddi/" + name, Source: set.Path(name)})
	}
	disk, table := build(t, esp.Options{ESPUUID: uuid1, Files: files})
	m := machinetest.New(t)
	m.Disk("vda", disk, 512, table)
	machine := look(m)
	parts, err := machine.Partitions()
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) *resolve.Image { return machine.ReadImage(parts[0], arch, "/loader/ddi/"+name) }

	for _, name := range []string{dditest.Good, "pieces.raw", dditest.Backup, dditest.Flipped, dditest.Super} {
		img := read(name)
		if img.Err != nil || img.Signature == nil || hex.EncodeToString(img.Signature.RootHash) != set.RootHash {
			t.Errorf("%s: %+v", name, img)
			continue
		}
		if pieces := len(img.Extents); (name == "pieces.raw") != (pieces == 50) {
			t.Errorf("%s: %d pieces", name, pieces)
		}
		if img.Table.Backup != (name == dditest.Backup) || len(img.Table.Partitions) != 3 {
			t.Errorf("%s: %+v", name, img.Table)
		}
	}
	for _, name := range []string{dditest.Unsigned, dditest.NoSig, dditest.Foreign, dditest.NoRoot} {
		if img := read(name); img.Err != nil || img.Signature != nil || img.Table == nil {
			t.Errorf("%s: %+v", name, img)
		}
	}
	for name, want := range map[string]error{
		dditest.Empty: gpt.ErrNoTable, dditest.BadSig: signature.ErrMalformed, "nothing.raw": gpt.ErrNoTable, "other.raw": fs.ErrNotExist,
	} {
		if img := read(name); !errors.Is(img.Err, want) || img.Signature != nil {
			t.Errorf("%s: %v, want %v", name, img.Err, want)
		}
	}
	if img := read(""); img.Err == nil {
		t.Error("a directory is an image")
	}
	if err := os.Remove(m.Path("dev/vda1")); err != nil {
		t.Fatal(err)
	}
	if img := read(dditest.Good); !errors.Is(img.Err, fs.ErrNotExist) {
		t.Errorf("no device: %v", img.Err)
	}
}

// disk is an image in memory.
type disk []byte

func (d disk) ReadAt(p []byte, off int64) (int, error) { return bytes.NewReader(d).ReadAt(p, off) }
func (d disk) WriteAt(p []byte, off int64) (int, error) {
	return copy(d[off:], p), nil
}

// withSignatures is an image with n signature partitions of size bytes that hold content.
func withSignatures(t *testing.T, n int, size int64, content []byte) disk {
	t.Helper()
	typ, _ := gpt.TypeOf(gpt.RootVeritySig, gpt.X86_64)
	table := &gpt.Table{SectorSize: 512, DiskUUID: uuid1}
	first := uint64(2048)
	d := make(disk, int64(n)*size+4<<20)
	for i := range n {
		id := uuid2
		id[0] = byte(i)
		table.Partitions = append(table.Partitions, gpt.Partition{Number: i + 1, Type: typ, UUID: id, FirstLBA: first, LastLBA: first + uint64(size/512) - 1})
		copy(d[first*512:], content)
		first += uint64(size / 512)
	}
	if err := gpt.Write(d, int64(len(d)), table); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestReadDDISignature(t *testing.T) {
	doc, err := signature.Document{RootHash: bytes.Repeat([]byte{7}, 32), Signature: []byte{0x30, 0}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		disk disk
		arch gpt.Arch
		want error
		doc  bool
	}{
		{"one", withSignatures(t, 1, 16<<10, doc), gpt.X86_64, nil, true},
		{"none", withSignatures(t, 0, 0, nil), gpt.X86_64, nil, false},
		{"room for one", withSignatures(t, 1, 16<<10, nil), gpt.X86_64, nil, false},
		{"two", withSignatures(t, 2, 16<<10, doc), gpt.X86_64, fs.ErrInvalid, false},
		{"two that are empty", withSignatures(t, 2, 16<<10, nil), gpt.X86_64, fs.ErrInvalid, false},
		{"for another machine", withSignatures(t, 1, 16<<10, doc), gpt.ARM64, nil, false},
		{"for an unknown machine", withSignatures(t, 1, 16<<10, doc), "pdp11", nil, false},
		{"nonsense", withSignatures(t, 1, 16<<10, []byte("{")), gpt.X86_64, signature.ErrMalformed, false},
		{"the largest", withSignatures(t, 1, discover.MaxSignature, doc), gpt.X86_64, nil, true},
		{"too large", withSignatures(t, 1, discover.MaxSignature+512, doc), gpt.X86_64, fs.ErrInvalid, false},
		{"no table", make(disk, 1<<20), gpt.X86_64, gpt.ErrNoTable, false},
	} {
		table, got, err := discover.ReadDDI(test.disk, int64(len(test.disk)), test.arch)
		if !errors.Is(err, test.want) || (got != nil) != test.doc || (table != nil) != (test.want == nil) {
			t.Errorf("%s: %v, %v, %v", test.name, table, got, err)
		}
	}
}
