// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fat

import (
	"encoding/binary"
	"strings"
	"unicode/utf16"
)

const (
	longUnits    = 13                                                     // UTF-16 units in a slot
	maxLongSlots = 20                                                     // 255 units, rounded up
	maxLongName  = 255                                                    // units
	longLast     = 0x40                                                   // in the sequence number: this is the last part, which comes first on the disk
	longOffsets  = "\x01\x03\x05\x07\x09\x0e\x10\x12\x14\x16\x18\x1c\x1e" // where the units are in a slot
)

// Case flags of a short name, in the byte that the specification reserves for Windows NT.
const (
	caseLowerBase = 0x08
	caseLowerExt  = 0x10
)

// cp437 holds what the bytes from 0x80 on mean in the code page that mkfs.vfat, mtools, Linux and firmware assume.
const cp437 = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀" +
	"αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0"

// longName collects the slots of a long name, which come in descending order before the slot that they belong to.
type longName struct {
	units [maxLongSlots * longUnits]uint16
	slots int  // how many there are in all; 0 says that no name is being collected
	next  int  // the number that the next slot must have; 0 after the last one
	sum   byte // of the short name, the same in each slot
}

func (l *longName) reset() { l.slots = 0 }

// add takes one slot. One that is not the next one of the name ends the collection.
func (l *longName) add(s *slot) {
	number := int(s[0])
	if number&longLast != 0 {
		number &^= longLast
		l.slots, l.next, l.sum = number, number, s[13]
	}
	// Byte 12 is a type, and bytes 26 and 27 are the cluster of what old programs take for a label: zero.
	if l.slots == 0 || number == 0 || number != l.next || number > maxLongSlots || s[13] != l.sum || s[12]|s[26]|s[27] != 0 {
		l.reset()
		return
	}
	l.next--
	part := l.units[l.next*longUnits:]
	for i := range longUnits {
		part[i] = binary.LittleEndian.Uint16(s[longOffsets[i]:])
	}
}

// name returns the collected name if it is complete, valid, and belongs to the short name of the given checksum.
func (l *longName) name(sum byte) (string, bool) {
	if l.slots == 0 || l.next != 0 || l.sum != sum {
		return "", false
	}
	units := l.units[:l.slots*longUnits]
	for i, u := range units {
		if u == 0 {
			units = units[:i]
			break
		}
	}
	// A name that ends before its last slot is not what its writer counted.
	if len(units) <= (l.slots-1)*longUnits || len(units) > maxLongName {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(units); i++ {
		r := rune(units[i])
		if utf16.IsSurrogate(r) {
			// Half a pair would become U+FFFD, and different names the same.
			if i+1 == len(units) {
				return "", false
			}
			if r = utf16.DecodeRune(r, rune(units[i+1])); r == '\ufffd' {
				return "", false
			}
			i++
		}
		b.WriteRune(r)
	}
	return b.String(), true
}

// checksum returns what the slots of a long name hold to tie them to the short name in s.
func checksum(s *slot) byte {
	var sum byte
	for _, c := range s[:11] {
		sum = sum>>1 | sum<<7
		sum += c
	}
	return sum
}

// shortName returns the 8.3 name in s as it is stored, and as it is shown by the case flags.
func shortName(s *slot) (stored, shown string) {
	raw := [11]byte(s[:11])
	if raw[0] == nameKanji {
		raw[0] = nameDeleted
	}
	base := fromCP437(raw[:8])
	ext := fromCP437(raw[8:])
	stored = join(base, ext)
	if s[12]&caseLowerBase != 0 {
		base = strings.ToLower(base)
	}
	if s[12]&caseLowerExt != 0 {
		ext = strings.ToLower(ext)
	}
	return stored, join(base, ext)
}

// join returns the parts of a short name with the dot that the disk does not have. Without a base there is no name.
func join(base, ext string) string {
	if base == "" || ext == "" {
		return base
	}
	return base + "." + ext
}

// labelText returns a volume label, or "" for one that is not set or cannot be shown.
func labelText(raw []byte) string {
	b := [11]byte(raw)
	if b[0] == nameKanji {
		b[0] = nameDeleted
	}
	text := fromCP437(b[:])
	if text == "NO NAME" || hasControl(text) {
		return ""
	}
	return text
}

// fromCP437 returns the text without the spaces that pad it.
func fromCP437(raw []byte) string {
	var b strings.Builder
	for _, c := range raw {
		if c < 0x80 {
			b.WriteByte(c)
			continue
		}
		n := int(c - 0x80)
		for _, r := range cp437 {
			if n == 0 {
				b.WriteRune(r)
				break
			}
			n--
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// isSafe reports whether name can be a part of a path and be printed.
func isSafe(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.Contains(name, "/") && !hasControl(name)
}

// hasControl reports whether s has control characters of ASCII or Latin 1: they drive terminals.
func hasControl(s string) bool {
	for _, r := range s {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return true
		}
	}
	return false
}
