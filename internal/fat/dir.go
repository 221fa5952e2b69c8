// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fat

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Attributes of a directory slot. All of the lower four together mark a part of a long name.
const (
	attrReadOnly = 0x01
	attrLabel    = 0x08
	attrDir      = 0x10
	attrLong     = 0x0f
	attrMask     = 0x3f // the upper two bits are reserved
)

// First bytes of a short name that are no part of it.
const (
	nameEnd     = 0x00 // neither this slot nor any behind it is used
	nameDeleted = 0xe5
	nameKanji   = 0x05 // stands for 0xe5 where that is the first character
)

// slot is one record of a directory.
type slot [slotSize]byte

func (s *slot) isLong() bool { return s[11]&attrMask == attrLong }

func (s *slot) isLabel() bool {
	return !s.isLong() && s[0] != nameDeleted && s[11]&(attrLabel|attrDir) == attrLabel
}

// root returns the root directory.
func (f *FS) root() Entry { return Entry{Name: "/", Dir: true, root: true, first: f.rootFirst} }

// lookup finds the entry at path.
func (f *FS) lookup(path string) (Entry, error) {
	at := f.root()
	above := []uint32{at.first}
	for name := range strings.SplitSeq(path, "/") {
		if name == "" {
			continue
		}
		if len(above) > MaxDepth {
			return Entry{}, fmt.Errorf("the path has more than %d names: %w", MaxDepth, ErrTooMany)
		}
		if !at.Dir {
			return Entry{}, fmt.Errorf("%q is a file: %w", at.Name, fs.ErrNotExist)
		}
		var found Entry
		err := f.entries(at, func(e Entry) bool {
			if strings.EqualFold(name, e.Name) || strings.EqualFold(name, e.ShortName) {
				found = e
			}
			return found.Name == ""
		})
		if err != nil {
			return Entry{}, fmt.Errorf("cannot read directory %q: %w", at.Name, err)
		}
		if found.Name == "" {
			return Entry{}, fmt.Errorf("no %q in directory %q: %w", name, at.Name, fs.ErrNotExist)
		}
		// A tree is endless where a directory is below itself. The root counts too, by cluster 0 or its own number:
		// only ".." may lead there, and that is not followed.
		if found.Dir && slices.Contains(above, found.first) {
			return Entry{}, fmt.Errorf("directory %q starts at cluster %d, as one above it does: %w", found.Name, found.first, ErrCorrupt)
		}
		at = found
		above = append(above, at.first)
	}
	return at, nil
}

// entries calls visit with the files and directories in dir until it returns false.
func (f *FS) entries(dir Entry, visit func(Entry) bool) error {
	var long longName
	return f.slots(dir, func(s *slot) bool {
		switch {
		case s[0] == nameDeleted:
			long.reset()
			return true
		case s.isLong():
			long.add(s)
			return true
		case s[11]&attrLabel != 0:
			long.reset()
			return true
		}
		e, ok := f.entry(s, &long)
		long.reset()
		return !ok || visit(e)
	})
}

// entry decodes the slot of a file or directory that follows the slots in long. It returns false for what has no name
// that can be used.
func (f *FS) entry(s *slot, long *longName) (Entry, bool) {
	stored, shown := shortName(s)
	if stored == "." || stored == ".." {
		return Entry{}, false // whatever long name is in front of it
	}
	name, ok := long.name(checksum(s))
	if !ok {
		name = shown
	}
	if !isSafe(name) {
		return Entry{}, false
	}
	if !isSafe(stored) {
		stored = ""
	}
	le := binary.LittleEndian
	e := Entry{
		Name:      name,
		ShortName: stored,
		Dir:       s[11]&attrDir != 0,
		ReadOnly:  s[11]&attrReadOnly != 0,
		ModTime:   modTime(le.Uint16(s[24:]), le.Uint16(s[22:])),
		first:     uint32(le.Uint16(s[26:])),
	}
	if f.kind == FAT32 {
		e.first |= uint32(le.Uint16(s[20:])) << 16 // elsewhere, OS/2 keeps something of its own there
	}
	if !e.Dir {
		e.Size = int64(le.Uint32(s[28:]))
	}
	return e, true
}

// slots calls visit with the slots of dir, up to the end mark, until it returns false.
func (f *FS) slots(dir Entry, visit func(*slot) bool) error {
	if dir.root && f.kind != FAT32 {
		_, err := f.slotsAt(f.rootStart, f.rootSlots, visit)
		return err
	}
	c, err := f.chain(dir.first)
	if err != nil {
		return err
	}
	perCluster := f.cluster / slotSize // divides MaxSlots, as both are powers of two
	for n := perCluster; ; n += perCluster {
		if n > MaxSlots {
			return fmt.Errorf("it has more than %d slots: %w", MaxSlots, ErrTooMany)
		}
		// The FAT is asked before the cluster is read: a free one holds what was deleted, or what a file is writing.
		off := f.offset(c.at)
		more, err := c.next()
		if err != nil {
			return err
		}
		if on, err := f.slotsAt(off, perCluster, visit); err != nil || !on || !more {
			return err
		}
	}
}

// slotsAt calls visit with the n slots at off. It returns false where visit did, or at the end mark.
func (f *FS) slotsAt(off, n int64, visit func(*slot) bool) (bool, error) {
	for i := range n {
		b, err := f.meta.view(off+i*slotSize, slotSize)
		if err != nil {
			return false, err
		}
		s := slot(b)
		if s[0] == nameEnd || !visit(&s) {
			return false, nil
		}
	}
	return true, nil
}

// modTime formats a date and time of FAT, or returns "" for what is none.
func modTime(date, time uint16) string {
	year, month, day := 1980+date>>9, date>>5&15, date&31
	hour, minute, second := time>>11, time>>5&63, time&31*2
	if month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59 {
		return ""
	}
	return fmt.Sprintf("%04d-%02d-%02d %02d:%02d:%02d", year, month, day, hour, minute, second)
}
