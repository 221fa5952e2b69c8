// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package gpt

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/guid"
)

func TestWriteRefuses(t *testing.T) {
	typ := mustType(Root)
	for _, tt := range []struct {
		name   string
		size   int64
		change func(*Table)
		text   string
	}{
		{"sector size", 102400, func(t *Table) { t.SectorSize = 0 }, "sector size is 0"},
		{"size not in sectors", 102401, func(t *Table) {}, "size 102401 is not a multiple of the sector size 512"},
		{"too small", 67 * 512, func(t *Table) {}, "34304 bytes are 67 sectors, want at least 68"},
		{"negative size", -512, func(t *Table) {}, "want at least 68"},
		{"number 0", 102400, func(t *Table) { t.Partitions[0].Number = 0 }, "partition number is 0, want 1 to 128"},
		{"number 129", 102400, func(t *Table) { t.Partitions[0].Number = 129 }, "partition number is 129"},
		{"number twice", 102400, func(t *Table) { t.Partitions[0].Number = 4 }, "two partitions have number 4"},
		{"no type", 102400, func(t *Table) { t.Partitions[0].Type = guid.GUID{} }, "partition 1 has no type"},
		{"name too long", 102400, func(t *Table) { t.Partitions[0].Name = strings.Repeat("😀", 19) }, "has 38 UTF-16 code units, want at most 36"},
		{"name with NUL", 102400, func(t *Table) { t.Partitions[0].Name = "a\x00" }, "contains a NUL"},
		{"name not UTF-8", 102400, func(t *Table) { t.Partitions[0].Name = "\xff" }, "is not UTF-8"},
		{"overlap", 102400, func(t *Table) {
			t.Partitions = append(t.Partitions, Partition{Number: 9, Type: typ, FirstLBA: 69, LastLBA: 70})
		}, "overlaps"},
		{"over the primary entries", 102400, func(t *Table) { t.Partitions[0].FirstLBA = 33 }, "before the first usable sector 34"},
		{"over the backup entries", 102400, func(t *Table) { t.Partitions[0].LastLBA = 167 }, "behind the last usable sector 166"},
		{"first usable in the entries", 102400, func(t *Table) { t.FirstUsable = 33 }, "usable sectors are 33 to 166, want inside 34 to 166"},
		{"last usable in the entries", 102400, func(t *Table) { t.LastUsable = 167 }, "usable sectors are 34 to 167"},
		{"usable reversed", 102400, func(t *Table) { t.FirstUsable, t.LastUsable = 100, 99 }, "usable sectors are 100 to 99"},
	} {
		table := testTable(512)
		tt.change(table)
		w := sparse{}
		if err := Write(w, tt.size, table); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.text) || len(w) != 0 {
			t.Errorf("%s: got %v after %d writes, want %q", tt.name, err, len(w), tt.text)
		}
	}
	if err := Write(make(image, 1000), 102400, testTable(512)); err == nil || errors.Is(err, ErrInvalid) {
		t.Errorf("writer's own error: got %v", err)
	}
}

func TestWriteKeepsUsable(t *testing.T) {
	table := testTable(512)
	table.FirstUsable, table.LastUsable = 40, 120
	w := sparse{}
	const size = 1 << 50 // more sectors than an MBR can say
	if err := Write(w, size, table); err != nil {
		t.Fatal(err)
	}
	got, err := Read(w, size, 0)
	if err != nil || !reflect.DeepEqual(got, table) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got := w[0][446+12:][:4]; !bytes.Equal(got, []byte{0xff, 0xff, 0xff, 0xff}) {
		t.Errorf("protective MBR says %x sectors", got)
	}
}

func TestUsable(t *testing.T) {
	for _, tt := range []struct {
		size, sectorSize int64
		first, last      uint64
	}{
		{1 << 20, 512, 34, 2014},
		{1 << 20, 4096, 6, 250},
		{68 * 512, 512, 34, 34},
	} {
		if first, last, err := Usable(tt.size, tt.sectorSize); first != tt.first || last != tt.last || err != nil {
			t.Errorf("Usable(%d, %d) = %d, %d, %v, want %d, %d", tt.size, tt.sectorSize, first, last, err, tt.first, tt.last)
		}
	}
}
