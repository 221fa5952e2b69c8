// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package discover

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/extent"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/resolve"
)

// Pmem returns the devices of persistent memory, in the order of their names.
func (m *Machine) Pmem() []resolve.Device {
	names, err := m.blockDevices()
	if err != nil {
		return nil // [Machine.Partitions] says so
	}
	var out []resolve.Device
	for _, name := range names {
		if !strings.HasPrefix(name, "pmem") {
			continue
		}
		base := "class/block/" + name
		if _, err := m.Sys.Stat(base + "/partition"); err == nil {
			continue
		}
		size, err1 := m.number(base + "/size")
		sector, err2 := m.number(base + "/queue/logical_block_size")
		// Its node comes later than its directory.
		if _, err := m.Dev.Stat(name); err != nil || err1 != nil || err2 != nil || size == 0 {
			continue
		}
		out = append(out, resolve.Device{Node: name, Size: size * sysSector, SectorSize: sector})
	}
	return out
}

// ReadDevice reads the partition table and the signature partition of an image that has a device of its own. What goes wrong is in the image.
func (m *Machine) ReadDevice(d resolve.Device, arch gpt.Arch) *resolve.Image {
	img := &resolve.Image{}
	dev, err := m.Dev.Open(d.Node)
	if err != nil {
		img.Err = fmt.Errorf("cannot open /dev/%s: %w", d.Node, err)
		return img
	}
	defer dev.Close()
	// Of a device that cannot be read this is said once, and not for every place where a partition table may be.
	if _, err := dev.ReadAt(make([]byte, max(d.SectorSize, 512)), 0); err != nil {
		img.Err = fmt.Errorf("cannot read /dev/%s: %w", d.Node, err)
		return img
	}
	read(img, dev, extent.List{{Length: d.Size}}, arch)
	return img
}

// read reads what an image in dev says of itself.
func read(img *resolve.Image, dev io.ReaderAt, where extent.List, arch gpt.Arch) {
	img.Extents = where
	r := extent.NewReader(dev, where)
	img.Table, img.Signature, img.Err = ReadDDI(r, r.Size(), arch)
}

// ListInitrd returns what the boot loader left in memory: the files in [resolve.InitrdDirs], and those in [resolve.BehindInitramfs] that
// end in an image. root is stage 1's own file system.
func (m *Machine) ListInitrd(root *os.Root) *resolve.Listing {
	l := &resolve.Listing{Dirs: resolve.InitrdDirs()}
	for _, dir := range l.Dirs {
		if l.Err = listRoot(root, dir, l); l.Err != nil {
			l.Files = nil
			return l
		}
	}
	for _, name := range resolve.BehindInitramfs() {
		f, err := m.openInitrd(root, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var where extent.List
		if err == nil {
			where, err = imageAtEnd(f)
			f.Close()
		}
		switch {
		case err != nil:
			l.Err = fmt.Errorf("cannot read %s: %w", name, err)
			return l
		case where != nil:
			l.Files = append(l.Files, resolve.File{Path: name, Size: where.Size()})
		}
	}
	return l
}

func listRoot(root *os.Root, dir string, l *resolve.Listing) error {
	d, err := root.Open(strings.TrimPrefix(dir, "/"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", dir, err)
	}
	defer d.Close()
	entries, err := d.ReadDir(MaxFiles + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("cannot read %s: %w", dir, err)
	}
	if len(l.Files)+len(entries) > MaxFiles {
		return fmt.Errorf("%s and what was read before it have more than %d files: %w", dir, MaxFiles, ErrTooMany)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			l.Files = append(l.Files, resolve.File{Path: dir + "/" + e.Name(), Size: info.Size()})
		}
	}
	return nil
}

// openInitrd opens a file of the initramfs, or of sysfs.
func (m *Machine) openInitrd(root *os.Root, name string) (*os.File, error) {
	if inSys, ok := strings.CutPrefix(name, "/sys/"); ok {
		return m.Sys.Open(inSys)
	}
	return root.Open(strings.TrimPrefix(name, "/"))
}

// imageAtEnd returns where in a file, behind whatever else, an image is that ends where the file ends; nil if there is none. An image ends
// with the backup of its partition table, whose header says in which sector it lies itself (UEFI 2.10, 5.3.2): that is the last one, and
// so where the first is. Nothing of it is believed: what begins there is read like any other image.
func imageAtEnd(f *os.File) (extent.List, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	for _, sector := range []int64{512, 4096} {
		b := make([]byte, 32)
		if info.Size() < sector {
			break
		}
		if _, err := f.ReadAt(b, info.Size()-sector); err != nil {
			return nil, err
		}
		last := binary.LittleEndian.Uint64(b[24:])
		if string(b[:8]) != "EFI PART" || last >= uint64(info.Size()/sector) {
			continue
		}
		size := int64(last+1) * sector
		return extent.List{{Offset: info.Size() - size, Length: size}}, nil
	}
	return nil, nil
}

// ReadInitrd reads an image that [Machine.ListInitrd] found, and what lies beside it. What goes wrong is in the image.
func (m *Machine) ReadInitrd(root *os.Root, name string, arch gpt.Arch) *resolve.Image {
	img := &resolve.Image{}
	f, err := m.openInitrd(root, name)
	var info os.FileInfo
	if err == nil {
		defer f.Close()
		info, err = f.Stat()
	}
	if err != nil {
		img.Err = fmt.Errorf("cannot open %s: %w", name, err)
		return img
	}
	where := extent.List{{Length: info.Size()}}
	if slices.Contains(resolve.BehindInitramfs(), name) {
		if where, err = imageAtEnd(f); err != nil || where == nil {
			img.Err = fmt.Errorf("cannot find an image at the end of %s: %w", name, errors.Join(err, fs.ErrInvalid))
			return img
		}
		read(img, f, where, arch)
		return img
	}
	read(img, f, where, arch)
	addBeside(img, inRoot{root, strings.TrimPrefix(path.Dir(name), "/")}, path.Base(name))
	return img
}

// ReadFile reads the partition table and the signature partition of an image that is a file of its own, and what dir has beside it under
// the name that it is called there. What goes wrong is in the image.
func ReadFile(f *os.File, arch gpt.Arch, dir Sidecars, name string) *resolve.Image {
	img := &resolve.Image{}
	info, err := f.Stat()
	if err != nil {
		img.Err = fmt.Errorf("cannot read %s: %w", f.Name(), err)
		return img
	}
	read(img, f, extent.List{{Length: info.Size()}}, arch)
	if img.Err == nil {
		addBeside(img, dir, name)
	}
	return img
}

// addBeside reads what lies beside an image that is whole in memory, if it has no signature of its own. A hash tree in a file of its own
// is another file, which nobody joins to the image here.
func addBeside(img *resolve.Image, dir Sidecars, name string) {
	if img.Signature != nil {
		return
	}
	b, err := ReadBeside(dir, name)
	if err == nil && b.Tree > 0 {
		err = fmt.Errorf("a hash tree beside an image is used on the boot partition alone: %w", errors.ErrUnsupported)
	}
	if err != nil {
		img.Err = fmt.Errorf("cannot use what lies beside %s: %w", name, err)
		return
	}
	img.Beside = b
}

// inRoot is a directory of the initramfs.
type inRoot struct {
	root *os.Root
	dir  string
}

// Read implements [Sidecars].
func (d inRoot) Read(name string, limit int64) ([]byte, error) {
	f, err := d.root.Open(d.dir + "/" + name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadSidecar(f, limit)
}

// Size implements [Sidecars].
func (d inRoot) Size(name string) (int64, error) {
	info, err := d.root.Stat(d.dir + "/" + name)
	if err != nil {
		return 0, err
	}
	return SidecarSize(info)
}
