// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package apply

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/dmtable"
	"github.com/initddi/initddi/internal/extent"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/linux/dm"
	"github.com/initddi/initddi/internal/linux/kerneltest"
	"github.com/initddi/initddi/internal/linux/loop"
	"github.com/initddi/initddi/internal/linux/memfile"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/resolve"
	"github.com/initddi/initddi/internal/verity"
)

// sample is the image that the machine comes with.
func sample(t *testing.T) ([]byte, *resolve.Authentic) {
	t.Helper()
	b, err := os.ReadFile("/tests/os.raw")
	must(t, err)
	table, err := gpt.Read(bytes.NewReader(b), int64(len(b)), 0)
	must(t, err)
	data, hash := table.Partitions[0], table.Partitions[1]
	region := func(p gpt.Partition) dmtable.Region {
		return dmtable.Region{Offset: p.Offset(table.SectorSize), Length: p.Size(table.SectorSize)}
	}
	return b, &resolve.Authentic{Designator: gpt.Root, Data: region(data), Hash: region(hash), RootHash: slices.Concat(data.UUID[:], hash.UUID[:])}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// partition is a block device on which the file lies in pieces of the given size, the last piece first, none next to another.
func partition(t *testing.T, file []byte, piece int64) Source {
	t.Helper()
	mem, err := memfile.New("partition")
	must(t, err)
	defer mem.Close()
	n := (int64(len(file)) + piece - 1) / piece
	gap := max(piece, 4096)
	src := Source{BlockSize: 512}
	for i := range n {
		at := (n-1-i)*(piece+gap) + 64<<10
		part := file[i*piece : min((i+1)*piece, int64(len(file)))]
		_, err := mem.WriteAt(part, at)
		must(t, err)
		src.Extents = append(src.Extents, extent.Extent{Offset: at, Length: int64(len(part))})
	}
	must(t, mem.Truncate(n*(piece+gap)+1<<20))
	d, err := loop.Attach("/dev", mem, loop.Options{})
	must(t, err)
	t.Cleanup(func() { d.Close() })
	src.Device = d.Name()
	return src
}

func control(t *testing.T) *dm.Control {
	t.Helper()
	c, err := dm.Open("/dev/mapper/control")
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func inits(plan.Kind) []string { return []string{"/sbin/init"} }

// TestVMInPlaceAndCopied brings the image up in every way and reads all of it.
func TestVMInPlaceAndCopied(t *testing.T) {
	kerneltest.NeedMachine(t)
	file, a := sample(t)
	c := control(t)
	for _, test := range []struct {
		name   string
		piece  int64
		block  int64
		ask    bool
		pieces bool
		copied error
	}{
		{"one piece", int64(len(file)), 512, false, true, nil},
		{"many pieces", 64 << 10, 512, false, true, nil},
		{"pieces of a sector", 512, 512, false, true, nil},
		{"a disk with large sectors", 4096, 4096, false, true, nil},
		{"pieces smaller than the disk's sectors", 2560, 4096, false, false, dmtable.ErrUnaligned},
		{"a copy that was asked for", 64 << 10, 512, true, false, errAsked},
	} {
		t.Run(test.name, func(t *testing.T) {
			src := partition(t, file, test.piece)
			src.BlockSize, src.Copy = test.block, test.ask
			before := kerneltest.InUse()
			img, err := Attach("/dev", "test", c, src, a)
			must(t, err)
			if (img.Pieces > 0) != test.pieces || !errors.Is(img.Copied, test.copied) {
				t.Errorf("%d pieces, copied: %v", img.Pieces, img.Copied)
			}
			checkContent(t, img)
			if img.Corrupt() {
				t.Error("it says that it is corrupt")
			}
			must(t, img.Discard())
			must(t, img.Discard())
			kerneltest.WantInUse(t, before)
		})
	}
}

// TestVMTooLargeToCopy: an image that does not fit is refused before anything was read, and leaves nothing.
func TestVMTooLargeToCopy(t *testing.T) {
	kerneltest.NeedMachine(t)
	file, a := sample(t)
	c := control(t)
	src := partition(t, file, 512)
	src.Copy = true
	before := kerneltest.InUse()
	var said []int64
	src.Memory.Say = func(why error, done, total int64) {
		if !errors.Is(why, errAsked) || total <= 0 {
			t.Errorf("said %v, %d of %d", why, done, total)
		}
		said = append(said, done)
	}
	src.Memory.Limit = func() int64 { return 64 << 10 }
	if img, err := Attach("/dev", "test", c, src, a); !errors.Is(err, ErrMemory) || img != nil || len(said) > 0 {
		t.Errorf("got %v, said %v", err, said)
	}
	kerneltest.WantInUse(t, before)
	src.Memory.Limit = func() int64 { return int64(len(file)) }
	img, err := Attach("/dev", "test", c, src, a)
	must(t, err)
	if len(said) < 2 || said[0] != 0 || said[len(said)-1] < 1<<20 {
		t.Errorf("said %v", said)
	}
	must(t, img.Discard())
	kerneltest.WantInUse(t, before)
}

func checkContent(t *testing.T, img *Image) {
	t.Helper()
	fstype, err := img.FileSystem("/dev")
	if err != nil || fstype != "erofs" {
		t.Fatalf("%s, %v", fstype, err)
	}
	m, err := img.Mount(fstype, "/dev/"+img.Device)
	must(t, err)
	tree, err := ReadTree(m, gpt.Root, fstype, inits)
	must(t, err)
	if tree.Kind != plan.KindOS || tree.OSRelease.Get("ID") != "sample" || tree.Init != "/sbin/init" || len(tree.MissingDirs) != 0 {
		t.Errorf("%+v", tree)
	}
	f, err := m.Open("/usr/lib/blob")
	must(t, err)
	defer f.Close()
	if n, err := io.Copy(io.Discard, f); err != nil || n != 2<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// TestVMSettle hands an image over: it has its name, and is gone when its user is.
func TestVMSettle(t *testing.T) {
	kerneltest.NeedMachine(t)
	file, a := sample(t)
	for _, option := range []string{"", "panic_on_corruption"} {
		src := partition(t, file, 64<<10)
		before := kerneltest.InUse()
		c := control(t)
		img, err := Attach("/dev", "test", c, src, a)
		must(t, err)
		m, err := img.Mount("erofs", "/dev/"+img.Device)
		must(t, err)
		must(t, img.Settle("root", option))
		info, err := c.Stat("root")
		must(t, err)
		want := "CRYPT-VERITY-" + strings.ReplaceAll(img.Superblock.UUID.String(), "-", "") + "-root"
		if info.UUID != want || !info.ReadOnly || info.Suspended || "dm-"+fmt.Sprint(info.Minor) != img.Device {
			t.Errorf("%q: %+v, want UUID %s", option, info, want)
		}
		f, err := m.Open("/sbin/init")
		must(t, err)
		if b, err := io.ReadAll(f); err != nil || string(b) != "#!/bin/sh\n" {
			t.Errorf("%q: %q, %v", option, b, err)
		}
		f.Close()
		must(t, m.Close())
		kerneltest.WantInUse(t, before)
	}
}

// TestVMTreeElsewhere: file system and hash tree in two files, each on a device of its own.
func TestVMTreeElsewhere(t *testing.T) {
	kerneltest.NeedMachine(t)
	file, a := sample(t)
	c := control(t)
	for _, ask := range []bool{false, true} {
		src := partition(t, file[a.Data.Offset:][:a.Data.Length], 64<<10)
		tree := partition(t, file[a.Hash.Offset:][:a.Hash.Length], 4096)
		src.Copy, tree.Copy, src.Tree = ask, ask, &tree
		before := kerneltest.InUse()
		two := *a
		two.Data, two.Hash = dmtable.Region{Length: a.Data.Length}, dmtable.Region{Offset: a.Data.Length, Length: a.Hash.Length}
		img, err := Attach("/dev", "test", c, src, &two)
		must(t, err)
		if fstype, err := img.FileSystem("/dev"); err != nil || fstype != "erofs" {
			t.Errorf("copy %v: read as %q, %v", ask, fstype, err)
		}
		must(t, img.Discard())
		kerneltest.WantInUse(t, before)
	}
}

// TestVMDamaged: whatever is wrong, it is said, nothing false is read, and nothing is left behind.
func TestVMDamaged(t *testing.T) {
	kerneltest.NeedMachine(t)
	file, a := sample(t)
	c := control(t)
	dataAt, hashAt := a.Data.Offset, a.Hash.Offset
	other := *a
	other.RootHash = bytes.Repeat([]byte{7}, 32)
	short := *a
	short.Data.Length = 4096
	for _, test := range []struct {
		name    string
		flip    int64 // bit of the file, -1: none
		a       *resolve.Authentic
		attach  error // wanted from Attach
		corrupt bool
	}{
		{"the file system's superblock", dataAt + 1024, a, nil, true},
		{"the root of the hash tree", hashAt + 4096, a, nil, true},
		{"the salt", hashAt + 88, a, nil, true},
		{"another root hash", -1, &other, nil, true},
		{"no verity superblock", hashAt, a, verity.ErrNoSuperblock, false},
		{"an unknown algorithm", hashAt + 32, a, verity.ErrUnsupported, false},
		{"a data partition that is too small", -1, &short, verity.ErrTooSmall, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := bytes.Clone(file)
			if test.flip >= 0 {
				b[test.flip] ^= 1
			}
			src := partition(t, b, 64<<10)
			before := kerneltest.InUse()
			img, err := Attach("/dev", "test", c, src, test.a)
			if test.attach != nil {
				if !errors.Is(err, test.attach) || img != nil {
					t.Errorf("%v, want %v", err, test.attach)
				}
				kerneltest.WantInUse(t, before)
				return
			}
			must(t, err)
			if fstype, err := img.FileSystem("/dev"); !errors.Is(err, unix.EIO) {
				t.Errorf("read as %q, %v", fstype, err)
			}
			if img.Corrupt() != test.corrupt {
				t.Error("it does not say that it is corrupt")
			}
			must(t, img.Discard())
			kerneltest.WantInUse(t, before)
		})
	}
}

// TestVMDamagedLater: a block that is read after the mount.
func TestVMDamagedLater(t *testing.T) {
	kerneltest.NeedMachine(t)
	file, a := sample(t)
	b := bytes.Clone(file)
	// In the middle of the data lies the blob.
	b[a.Data.Offset+a.Data.Length/2] ^= 1
	src := partition(t, b, 64<<10)
	before := kerneltest.InUse()
	img, err := Attach("/dev", "test", control(t), src, a)
	must(t, err)
	m, err := img.Mount("erofs", "/dev/"+img.Device)
	must(t, err)
	f, err := m.Open("/usr/lib/blob")
	must(t, err)
	if n, err := io.Copy(io.Discard, f); !errors.Is(err, unix.EIO) {
		t.Errorf("read %d bytes of a damaged file: %v", n, err)
	}
	f.Close()
	if !img.Corrupt() {
		t.Error("it does not say that it is corrupt")
	}
	must(t, img.Discard())
	kerneltest.WantInUse(t, before)
}

func TestVMAttachFails(t *testing.T) {
	kerneltest.NeedMachine(t)
	file, a := sample(t)
	src := partition(t, file, 64<<10)
	before := kerneltest.InUse()
	c := control(t)
	// The name is taken: the loop device that was made for it must go again.
	_, err := c.Create("test", "")
	must(t, err)
	if _, err := Attach("/dev", "test", c, src, a); !errors.Is(err, unix.EBUSY) {
		t.Error(err)
	}
	must(t, c.Remove("test", false))
	src.Extents = src.Extents[:len(src.Extents)/2]
	if _, err := Attach("/dev", "test", c, src, a); err == nil {
		t.Error("half a file was brought up")
	}
	src.Device = "/dev/nothing"
	if _, err := Attach("/dev", "test", c, src, a); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	kerneltest.WantInUse(t, before)
}

// TestVMSmallBlocks: dm-verity takes no blocks that are smaller than the disk's, whether they are the data's or the hash tree's.
func TestVMSmallBlocks(t *testing.T) {
	kerneltest.NeedMachine(t)
	file, a := sample(t)
	c := control(t)
	for _, test := range []struct {
		data, hash uint32
		block      int64
		elsewhere  bool // the hash tree is a file of its own
		pieces     bool
		copied     error
	}{
		{1024, 4096, 512, false, true, nil},
		{1024, 4096, 4096, false, false, dmtable.ErrUnaligned},
		{4096, 1024, 4096, false, false, dmtable.ErrUnaligned},
		{512, 512, 4096, false, false, dmtable.ErrUnaligned},
		{2048, 2048, 2048, false, true, nil},
		{1024, 4096, 4096, true, true, dmtable.ErrUnaligned},
		{4096, 1024, 4096, true, true, dmtable.ErrUnaligned},
	} {
		t.Run(fmt.Sprintf("%d and %d over %d", test.data, test.hash, test.block), func(t *testing.T) {
			data := file[a.Data.Offset:][:a.Data.Length]
			sb := &verity.Superblock{HashType: 1, Algorithm: "sha256", DataBlockSize: test.data, HashBlockSize: test.hash, DataBlocks: uint64(len(data)) / uint64(test.data)}
			tree, err := memfile.New("tree")
			must(t, err)
			defer tree.Close()
			// So that nothing but the blocks' size is in the way.
			room := (sb.HashTreeSize() + 4095) &^ 4095
			must(t, tree.Truncate(room))
			two := *a
			two.RootHash, err = verity.Build(bytes.NewReader(data), tree, sb, nil)
			must(t, err)
			b := make([]byte, room)
			_, err = tree.ReadAt(b, 0)
			must(t, err)
			two.Data, two.Hash = dmtable.Region{Length: int64(len(data))}, dmtable.Region{Offset: int64(len(data)), Length: room}
			var src Source
			if test.elsewhere {
				other := partition(t, b, 4096)
				src = partition(t, data, 64<<10)
				other.BlockSize, src.Tree = test.block, &other
			} else {
				src = partition(t, slices.Concat(data, b), 64<<10)
			}
			src.BlockSize = test.block
			before := kerneltest.InUse()
			img, err := Attach("/dev", "test", c, src, &two)
			must(t, err)
			if (img.Pieces > 0) != test.pieces || !errors.Is(img.Copied, test.copied) {
				t.Errorf("%d pieces, copied: %v", img.Pieces, img.Copied)
			}
			checkContent(t, img)
			must(t, img.Discard())
			kerneltest.WantInUse(t, before)
		})
	}
}

// TestVMSilent: what is read first, of the device and of the image, is asked for under the name of what it is read from, and an answer that
// does not come is an error that leaves nothing.
func TestVMSilent(t *testing.T) {
	kerneltest.NeedMachine(t)
	file, a := sample(t)
	src := partition(t, file, 64<<10)
	before := kerneltest.InUse()
	silent := errors.New("no answer")
	var asked []string
	src.Ask = func(node string, f func() error) error {
		asked = append(asked, node)
		return silent
	}
	c := control(t)
	if img, err := Attach("/dev", "test", c, src, a); !errors.Is(err, silent) || img != nil {
		t.Errorf("%v, %v", img, err)
	}
	kerneltest.WantInUse(t, before)
	src.Ask = func(node string, f func() error) error {
		asked = append(asked, node)
		if strings.HasPrefix(node, "dm-") {
			return silent
		}
		return f()
	}
	img, err := Attach("/dev", "test", c, src, a)
	must(t, err)
	if fs, err := img.FileSystem("/dev"); !errors.Is(err, silent) || fs != "" {
		t.Errorf("%q, %v", fs, err)
	}
	node := strings.TrimPrefix(src.Device, "/dev/")
	if want := []string{node, node, img.Device}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, wanted %q", asked, want)
	}
	must(t, img.Discard())
	kerneltest.WantInUse(t, before)
}
