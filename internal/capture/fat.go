// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package capture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/fat"
)

// Bounds of what is recorded of a FAT file system.
const (
	maxDirs     = 64
	maxFATParts = 4096 // blocks of 4 KiB that are looked at
	maxSlots    = 4096 // 32-byte slots of directories
)

// fat records of a file system what stage 1 needs to list it: the boot sector, the directories that may hold images, and of the
// allocation table what says where the files in them are. Of whatever was read to get at these, a sector or a directory entry that
// changes nothing in what stage 1 sees is left out, and so no byte of a file's content gets in.
func (r *recorder) fat(name string, dev io.ReaderAt, size int64) []part {
	w := &watcher{from: dev}
	want := see(w, size)
	if want.kind == "" {
		r.say(Recorded, "/dev/%s: %s", name, want.text)
		return nil
	}
	if len(w.parts) > maxFATParts {
		r.say(LeftOut, "/dev/%s: its directories, which are too large", name)
		return nil
	}
	m := newMemory(w.parts)
	boot := m[0]
	m[0] = bootSector(boot, r.names)
	first := dataStart(boot)
	slots := 0
	for _, at := range m.sectors() {
		if at < first {
			continue // the allocation table: numbers
		}
		saved := m[at]
		m[at] = nil
		if see(m, size).text == want.text {
			delete(m, at)
			continue
		}
		m[at] = saved
		if slots += len(saved) / slotSize; slots > maxSlots {
			r.say(LeftOut, "/dev/%s: its directories, which are too large", name)
			return nil
		}
		m.blankSlots(at, size, want.text)
	}
	r.say(Recorded, "/dev/%s: %s, names and places of %d files in %d directories", name, want.kind, want.files, want.dirs)
	return m.parts()
}

// view is what stage 1 could see of a file system.
type view struct {
	kind        string
	files, dirs int
	text        string // everything, to compare
}

// see looks at the directories on the way to those in which images may lie, in those, and where the files in them are.
func see(dev io.ReaderAt, size int64) view {
	vol, err := fat.Open(dev, size)
	if err != nil {
		return view{text: err.Error()}
	}
	v := view{kind: vol.Type().String()}
	var text strings.Builder
	fmt.Fprintf(&text, "%s %q\n", v.kind, vol.Label())
	todo := []string{"/"}
	for len(todo) > 0 && v.dirs < maxDirs {
		dir := todo[0]
		todo = todo[1:]
		entries, err := vol.ReadDir(dir)
		if err != nil {
			fmt.Fprintln(&text, err)
			continue
		}
		v.dirs++
		for _, e := range entries {
			name := strings.TrimSuffix(dir, "/") + "/" + e.Name
			fmt.Fprintf(&text, "%q %+v\n", name, e)
			switch {
			case e.Dir && leads(name):
				todo = append(todo, name)
			case !e.Dir:
				v.files++
				if holdsImages(dir) {
					list, err := vol.Extents(e)
					fmt.Fprintln(&text, list, err)
				}
			}
		}
	}
	v.text = text.String()
	return v
}

// holdsImages reports whether images may lie in a directory, by its name.
func holdsImages(dir string) bool {
	lower := strings.ToLower(dir)
	return lower == "/loader/ddi" || strings.HasSuffix(lower, ".ddi.d") || strings.HasSuffix(lower, ".v")
}

// leads reports whether a directory is one of those, or on the way to one.
func leads(dir string) bool {
	lower := strings.ToLower(dir)
	return holdsImages(dir) || lower == "/loader" || lower == "/efi" || strings.HasPrefix(lower, "/efi/") && strings.Count(lower, "/") == 2
}

// slotSize is that of a directory entry, and of each piece of its long name.
const slotSize = 32

// deletedSlot is the first byte of an entry that is none any more.
const deletedSlot = 0xe5

const fatSector = 512

// memory is what was read of a device, in sectors of 512 bytes by their offset. What was not is zero.
type memory map[int64][]byte

func newMemory(parts []part) memory {
	m := memory{}
	for _, p := range parts {
		for i := 0; i+fatSector <= len(p.data); i += fatSector {
			m[p.offset+int64(i)] = p.data[i : i+fatSector]
		}
	}
	return m
}

func (m memory) sectors() []int64 {
	var out []int64
	for at := range m {
		out = append(out, at)
	}
	slices.Sort(out)
	return out
}

// ReadAt reads at multiples of the sector size, as package fat does.
func (m memory) ReadAt(b []byte, offset int64) (int, error) {
	for i := 0; i < len(b); i += fatSector {
		clear(b[i:min(i+fatSector, len(b))])
		copy(b[i:], m[offset+int64(i)])
	}
	return len(b), nil
}

// blankSlots takes out of a sector of a directory every entry that changes nothing in what is seen: deleted ones, which keep their
// names on the disk, and what lies behind the end.
func (m memory) blankSlots(at, size int64, want string) {
	for i := 0; i < fatSector; i += slotSize {
		saved := m[at]
		for _, first := range []byte{0, deletedSlot} {
			m[at] = bytes.Clone(saved)
			clear(m[at][i : i+slotSize])
			m[at][i] = first
			if see(m, size).text == want {
				break
			}
			m[at] = saved
		}
	}
}

func (m memory) parts() []part {
	var out []part
	for _, at := range m.sectors() {
		if len(bytes.Trim(m[at], "\x00")) > 0 {
			out = append(out, part{at, m[at]})
		}
	}
	return merge(out)
}

// Fields of a boot sector (Microsoft's FAT specification of 2000), as far as they are not for package fat alone.
const (
	bootReserved = 14 // sectors before the first table
	bootTables   = 16
	bootTable16  = 22 // sectors of a table; 0 for FAT32
	bootTable32  = 36
	bootEnd16    = 62 // where code begins
	bootEnd32    = 90
	bootSerial16 = 39
	bootSerial32 = 67
)

// dataStart returns where the allocation tables end.
func dataStart(boot []byte) int64 {
	le := binary.LittleEndian
	table := int64(le.Uint16(boot[bootTable16:]))
	if table == 0 {
		table = int64(le.Uint32(boot[bootTable32:]))
	}
	return int64(le.Uint16(boot[11:])) * (int64(le.Uint16(boot[bootReserved:])) + int64(boot[bootTables])*table)
}

// bootSector returns the fields of a boot sector without code, and, unless named, without serial number.
func bootSector(boot []byte, named bool) []byte {
	out := make([]byte, len(boot))
	end, serial := bootEnd16, bootSerial16
	if binary.LittleEndian.Uint16(boot[bootTable16:]) == 0 {
		end, serial = bootEnd32, bootSerial32
	}
	copy(out, boot[:end])
	copy(out[510:], boot[510:512])
	if !named {
		clear(out[serial : serial+4])
	}
	return out
}

// watcher keeps what is read of a device.
type watcher struct {
	from  io.ReaderAt
	parts []part
}

// ReadAt implements [io.ReaderAt].
func (w *watcher) ReadAt(b []byte, offset int64) (int, error) {
	n, err := w.from.ReadAt(b, offset)
	w.parts = append(w.parts, part{offset, bytes.Clone(b[:n])})
	return n, err
}
