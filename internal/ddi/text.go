// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package ddi

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Print writes the report for people, in the layout of systemd-dissect. Without legend the table has no head.
func (r *Report) Print(w io.Writer, legend bool) {
	field := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%10s: %s\n", name, Printable(fmt.Sprintf(format, args...)))
	}
	field("Name", "%s", r.Name)
	field("Size", "%s", bytesText(r.Size))
	if r.SectorSize != 0 {
		field("Sec. Size", "%d", r.SectorSize)
		field("Image UUID", "%s", r.ImageUUID)
	}
	field("Arch.", "%s", r.Architecture)
	if len(r.Sidecars) > 0 {
		field("Beside it", "%s", Printable(strings.Join(r.Sidecars, ", ")))
	}
	if r.Damaged != "" {
		field("Damaged", "%s; read from the second copy", r.Damaged)
	}
	switch s := r.Signature; {
	case s == nil:
		field("Signature", "none")
	case s.Trusted:
		field("Signature", "by %s, certificate %s", s.Signer, s.Fingerprint)
	case s.Claimed != "":
		field("Signature", "not trusted; it names certificate %s", s.Claimed)
	default:
		field("Signature", "not trusted")
	}
	if v := r.Verity; v != nil {
		note := ""
		if !r.Verdict.Accepted {
			note = " (not verified, nor is anything below)"
		}
		field("Root Hash", "%s%s", v.RootHash, note)
		field("Verity", "%s, %s in blocks of %d, tree %s in blocks of %d, UUID %s", v.Algorithm, bytesText(v.DataSize), v.DataBlockSize,
			bytesText(v.TreeSize), v.HashBlockSize, v.UUID)
	}
	verdict := strings.TrimPrefix(r.Verdict.Text, r.Name+" ")
	if r.Verdict.Accepted {
		verdict = "accepted: " + verdict
	}
	field("Verdict", "%s", verdict)
	fmt.Fprintln(w)
	var t table
	if legend {
		t.add("RW", "DESIGNATOR", "PARTITION UUID", "PARTITION LABEL", "FSTYPE", "ARCHITECTURE", "VERITY", "SIZE", "PARTNO")
	}
	for _, m := range r.Mounts {
		arch := "-"
		if m.Architecture != nil {
			arch = string(*m.Architecture)
		}
		t.add(m.RW, string(m.Designator), m.UUID.String(), Printable(m.Label), text(m.FileSystem), arch, text(m.Verity), bytesText(m.Size), strconv.Itoa(m.Number))
	}
	t.print(w)
}

func text(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}

// bytesText writes a size as systemd does: in powers of 1024 with one digit behind the point.
func bytesText(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + "B"
	}
	const units = "KMGTPE"
	unit, div := 0, int64(1024)
	for n/div >= 1024 {
		div *= 1024
		unit++
	}
	return fmt.Sprintf("%d.%d%c", n/div, n%div*10/div, units[unit])
}

// Printable returns s without what could control a terminal: labels come from whoever made the image.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// table aligns columns.
type table struct {
	rows   [][]string
	widths []int
}

func (t *table) add(cells ...string) {
	for i, c := range cells {
		if cells[i] == "" {
			cells[i], c = "-", "-"
		}
		if i == len(t.widths) {
			t.widths = append(t.widths, 0)
		}
		t.widths[i] = max(t.widths[i], len([]rune(c)))
	}
	t.rows = append(t.rows, cells)
}

func (t *table) print(w io.Writer) {
	for _, row := range t.rows {
		var line strings.Builder
		for i, c := range row {
			line.WriteString(c)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", t.widths[i]-len([]rune(c))+1))
			}
		}
		fmt.Fprintln(w, line.String())
	}
}
