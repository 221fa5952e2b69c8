// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fat

import (
	"io/fs"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

var (
	errNotExist = fs.ErrNotExist
	errInvalid  = fs.ErrInvalid
)

// checkEntry checks what an entry promises.
func checkEntry(t *testing.T, e Entry) {
	t.Helper()
	for _, name := range []string{e.Name, e.ShortName} {
		if !utf8.ValidString(name) || name == "." || name == ".." || strings.ContainsFunc(name, func(r rune) bool { return r == '/' || unicode.IsControl(r) }) {
			t.Fatalf("entry with the name %q", name)
		}
	}
	if e.Name == "" || len(utf16.Encode([]rune(e.Name))) > 255 || len([]rune(e.ShortName)) > 12 {
		t.Fatalf("entry with the names %q and %q", e.Name, e.ShortName)
	}
	if e.Size < 0 || e.Size > 1<<32-1 || (e.Dir && e.Size != 0) || (len(e.ModTime) != 0 && len(e.ModTime) != 19) || e.root {
		t.Fatalf("entry %+v", e)
	}
}

// long returns the slots of a long name for the short one.
func long(name, short string) [][32]byte { return longSlots(utf16.Encode([]rune(name)), short) }

// short returns the slot of a file.
func short(name string) [32]byte { return shortWith(name, 11, 0x20) }

// shortWith returns the slot of a file with one more byte set.
func shortWith(name string, at int, v byte) [32]byte {
	var s [32]byte
	copy(s[:], name)
	s[11] = 0x20
	s[at] = v
	return s
}

func TestNames(t *testing.T) {
	const dos = "LONGNA~1RAW"
	plain := short(dos)
	change := func(list [][32]byte, slot, at int, v byte) [][32]byte {
		list = slices.Clone(list)
		list[slot][at] = v
		return list
	}
	with := func(list [][32]byte, more ...[32]byte) [][32]byte { return append(slices.Clone(list), more...) }
	two := long("a long name.raw", dos) // 15 units: two slots
	units := func(u ...uint16) [][32]byte { return longSlots(u, dos) }
	label := shortWith("LABEL      ", 11, 0x08)
	deleted := shortWith(dos, 0, 0xe5)
	for _, c := range []struct {
		name  string
		slots [][32]byte
		want  string // of all entries, with commas
	}{
		{"8.3", [][32]byte{short("NAME    TXT")}, "NAME.TXT"},
		{"without extension", [][32]byte{short("NAME       ")}, "NAME"},
		{"full", [][32]byte{short("12345678123")}, "12345678.123"},
		{"space inside", [][32]byte{short("A B     C D")}, "A B.C D"},
		{"lower base", [][32]byte{shortWith("NAME    TXT", 12, 0x08)}, "name.TXT"},
		{"lower extension", [][32]byte{shortWith("NAME    TXT", 12, 0x10)}, "NAME.txt"},
		{"lower both, not ASCII", [][32]byte{shortWith("\x90NAME   TX\x8e", 12, 0x18)}, "éname.txä"},
		{"other flags", [][32]byte{shortWith("NAME    TXT", 12, 0xe7)}, "NAME.TXT"},
		{"0x05 is 0xe5", [][32]byte{short("\x05AME    TXT")}, "σAME.TXT"},
		{"0x05 elsewhere", [][32]byte{short("N\x05ME    TXT")}, ""},
		{"deleted", [][32]byte{short("A       TXT"), deleted, short("B       TXT")}, "A.TXT,B.TXT"},
		{"end mark", [][32]byte{short("A       TXT"), {}, short("B       TXT")}, "A.TXT"},
		{"label", [][32]byte{label, short("B       TXT")}, "B.TXT"},
		{"label and directory", [][32]byte{shortWith("X          ", 11, 0x18), short("B       TXT")}, "B.TXT"},
		{"dot and dot dot", [][32]byte{short(".          "), short("..         "), short("A          ")}, "A"},
		{"dot in the base", [][32]byte{short("A.B     TXT")}, "A.B.TXT"},
		{"no base", [][32]byte{short("        TXT"), short("           ")}, ""},
		{"slash", [][32]byte{short("A/B     TXT"), short("AB      T/T")}, ""},
		{"control characters", [][32]byte{short("A\x1bB     TXT"), short("A\x00B     TXT"), short("AB      \x7fXT")}, ""},

		{"long", with(two, plain), "a long name.raw"},
		{"long: 1 unit", with(long("x", dos), plain), "x"},
		{"long: 13 units", with(long("exactly13.raw", dos), plain), "exactly13.raw"},
		{"long: 26 units", with(long(strings.Repeat("exactly13.raw", 2), dos), plain), strings.Repeat("exactly13.raw", 2)},
		{"long: 255 units", with(long(strings.Repeat("x", 255), dos), plain), strings.Repeat("x", 255)},
		{"long: 256 units", with(long(strings.Repeat("x", 256), dos), plain), "LONGNA~1.RAW"},
		{"long: 21 slots", with(long(strings.Repeat("x", 21*13), dos), plain), "LONGNA~1.RAW"},
		{"long: not ASCII", with(long("Größe 日本 😀.raw", dos), plain), "Größe 日本 😀.raw"},
		{"long: U+FFFD itself", with(units('a', 0xfffd), plain), "a\ufffd"},
		{"long: high surrogate alone", with(units('a', 0xd83d, 'b'), plain), "LONGNA~1.RAW"},
		{"long: high surrogate last", with(units('a', 0xd83d), plain), "LONGNA~1.RAW"},
		{"long: low surrogate alone", with(units('a', 0xde00, 'b'), plain), "LONGNA~1.RAW"},
		{"long: surrogates swapped", with(units(0xde00, 0xd83d), plain), "LONGNA~1.RAW"},
		{"long: empty", with(units(0), plain), "LONGNA~1.RAW"},
		{"long: ends before its last slot", with(change(two, 1, 3, 0), plain), "LONGNA~1.RAW"},
		{"long: checksum of another", with(two, short("OTHER   RAW")), "OTHER.RAW"},
		{"long: checksum of one slot wrong", with(change(two, 1, 13, 0), plain), "LONGNA~1.RAW"},
		{"long: short name of 0x05", with(long("a long name.raw", "\x05AME    TXT"), short("\x05AME    TXT")), "a long name.raw"},
		{"long: first slot missing", with(two[1:], plain), "LONGNA~1.RAW"},
		{"long: last slot missing", with(two[:1], plain), "LONGNA~1.RAW"},
		{"long: last slot missing behind a longer name", with(with(long("the longest.name.raw", dos), plain), two[0], plain), "the longest.name.raw,LONGNA~1.RAW"},
		{"long: reversed", [][32]byte{two[1], two[0], plain}, "LONGNA~1.RAW"},
		{"long: repeated slot", [][32]byte{two[0], two[1], two[1], plain}, "LONGNA~1.RAW"},
		{"long: no mark of the last", with(change(two, 0, 0, 2), plain), "LONGNA~1.RAW"},
		{"long: number 0", with(change(two, 1, 0, 0x40), plain), "LONGNA~1.RAW"},
		{"long: number 63", with(change(two, 0, 0, 0x7f), plain), "LONGNA~1.RAW"},
		{"long: number with the top bit", with(change(two, 1, 0, 0x81), plain), "LONGNA~1.RAW"},
		{"long: type", with(change(two, 1, 12, 1), plain), "LONGNA~1.RAW"},
		{"long: cluster", with(change(two, 0, 26, 1), plain), "LONGNA~1.RAW"},
		{"long: reserved attributes", with(change(change(two, 0, 11, 0xcf), 1, 11, 0x4f), plain), "a long name.raw"},
		{"long: twice, the first an orphan", with(with(long("an orphaned name.raw", dos), two...), plain), "a long name.raw"},
		{"long: orphan in front of another file", with(two, shortWith("A          ", 11, 0x20), plain), "A,LONGNA~1.RAW"},
		{"long: deleted entry between", with(two, deleted, plain), "LONGNA~1.RAW"},
		{"long: deleted slot between", with([][32]byte{two[0], deleted}, two[1], plain), "LONGNA~1.RAW"},
		{"long: label between", with(two, label, plain), "LONGNA~1.RAW"},
		{"long: of a label", with(long("x", "LABEL      "), label, plain), "LONGNA~1.RAW"},
		{"long: slash", with(long("../../etc", dos), plain), ""},
		{"long: escape sequence", with(long("a\x1b[2J", dos), plain), ""},
		{"long: C1 control", with(long("a\u009b2J", dos), plain), ""},
		{"long: newline", with(long("a\nb", dos), plain), ""},
		{"long: delete", with(long("a\x7f", dos), plain), ""},
		{"long: NUL, then more", with(units('a', 0, 'b'), plain), "a"},
		{"long: dot", with(long(".", dos), plain), ""},
		{"long: dot dot", with(long("..", dos), plain), ""},
		{"long: of dot", with(long("self", ".          "), short(".          ")), ""},
		{"long: of dot dot", with(long("up", "..         "), short("..         ")), ""},
		{"long: dots", with(long("...", dos), plain), "..."},
		{"long: of an unsafe short name", with(long("good", "A/B     TXT"), short("A/B     TXT")), "good"},
	} {
		m := newImage(t, shape{rootSlots: 64})
		for _, s := range c.slots {
			m.slot(m.top, s)
		}
		f := m.mustOpen()
		list, err := f.ReadDir("")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var names []string
		for _, e := range list {
			checkEntry(t, e)
			names = append(names, e.Name)
			for _, name := range []string{e.Name, strings.ToUpper(e.Name), strings.ToLower(e.ShortName)} {
				// Where two have the same short name, the first is found.
				if found, err := f.Stat(name); name != "" && (err != nil || found != e && found != list[0]) {
					t.Errorf("%s: %q is not found: %v", c.name, name, err)
				}
			}
		}
		if got := strings.Join(names, ","); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestLongNameZero has a slot of number 0 after the last one. A directory ends there, but the collector must not rely on it.
func TestLongNameZero(t *testing.T) {
	var l longName
	for _, s := range long("name.raw", "LONGNA~1RAW") {
		l.add((*slot)(&s))
		s[0] = 0
		l.add((*slot)(&s))
		if name, ok := l.name(s[13]); ok {
			t.Errorf("got %q, want none", name)
		}
	}
}

// TestSameNames has entries that the same path names: the first on the disk is taken.
func TestSameNames(t *testing.T) {
	m := newImage(t, shape{})
	first := m.entry(m.top, "os.raw", 0x20, 0, 0)
	second := m.raw(m.top, "OS      RAW", 0x20, 0, 0)
	m.put32(first+28, 1)
	m.put32(second+28, 2)
	f := m.mustOpen()
	if e, err := f.Stat("OS.RAW"); err != nil || e.Size != 1 {
		t.Errorf("%+v, %v, want the first", e, err)
	}
	if list, err := f.ReadDir(""); err != nil || len(list) != 2 {
		t.Errorf("%v, %v, want both", list, err)
	}
}

func TestModTime(t *testing.T) {
	for _, c := range []struct {
		date, time uint16
		want       string
	}{
		{0, 0, ""},
		{1<<5 | 1, 0, "1980-01-01 00:00:00"},
		{127<<9 | 12<<5 | 31, 23<<11 | 59<<5 | 29, "2107-12-31 23:59:58"},
		{46<<9 | 11<<5 | 22, 12<<11 | 34<<5 | 28, "2026-11-22 12:34:56"},
		{13<<5 | 1, 0, ""},
		{0<<5 | 1, 0, ""},
		{1 << 5, 0, ""},
		{1<<5 | 1, 24 << 11, ""},
		{1<<5 | 1, 60 << 5, ""},
		{1<<5 | 1, 30, ""},
	} {
		if got := modTime(c.date, c.time); got != c.want {
			t.Errorf("%#x %#x is %q, want %q", c.date, c.time, got, c.want)
		}
	}
}

// TestCP437 compares the table with the C library's.
func TestCP437(t *testing.T) {
	need(t, "iconv", "libc-bin")
	var raw []byte
	for i := range 128 {
		raw = append(raw, byte(128+i))
	}
	cmd := exec.Command("iconv", "-f", "CP437", "-t", "UTF-8")
	cmd.Stdin = strings.NewReader(string(raw))
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("needs an iconv that knows CP437 (Debian package libc6): %v", err)
	}
	if got := fromCP437(raw); got != string(out) {
		t.Errorf("got  %q\nwant %q", got, out)
	}
}
