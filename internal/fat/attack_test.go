// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// attack is one lie, told by the sample image.
type attack struct {
	name string
	lie  func(m *image)
	ask  func(f *FS) error
	want error // nil says that the truth does not depend on it
}

func askExtents(path string) func(*FS) error {
	return func(f *FS) error {
		e, err := f.Stat(path)
		if err != nil {
			return fmt.Errorf("the test's own %s: %v", path, err) // hides the cause: only Extents is asked
		}
		_, err = f.Extents(e)
		return err
	}
}

func askDir(path string) func(*FS) error {
	return func(f *FS) error {
		_, err := f.ReadDir(path)
		return err
	}
}

func askStat(path string) func(*FS) error {
	return func(f *FS) error {
		_, err := f.Stat(path)
		return err
	}
}

// fill marks all slots of a cluster that have no entry as deleted, so that its directory goes on behind it.
func (m *image) fill(c uint32) {
	b := m.cluster(c)
	for i := 0; i < len(b); i += 32 {
		if b[i] == 0 {
			b[i] = 0xe5
		}
	}
}

// setFirst sets the first cluster of an entry.
func (m *image) setFirst(name string, c uint32) {
	m.put16(m.at[name]+26, int(c&0xffff))
	if m.kind == FAT32 {
		m.put16(m.at[name]+20, int(c>>16))
	}
}

func (m *image) setSize(name string, size int) { m.put32(m.at[name]+28, size) }

// The clusters and paths in here are those of sample; the file's chain is 10, 11, 13, 12, 20, and 60 is free.
func attacks() []attack {
	const file = "OS_1.2.raw"
	f, two := askExtents(osPath), askDir("loader/two")
	limit := func(m *image) uint32 { return uint32(m.count + 2) }
	return []attack{
		{"none", func(m *image) {}, f, nil},

		{"chain: back to its first cluster", func(m *image) { m.link(20, 10) }, f, ErrCorrupt},
		{"chain: back to its middle", func(m *image) { m.link(20, 13) }, f, ErrCorrupt},
		{"chain: cluster leads to itself", func(m *image) { m.link(11, 11) }, f, ErrCorrupt},
		{"chain: first cluster leads to itself", func(m *image) { m.link(10, 10) }, f, ErrCorrupt},
		{"chain: loop that has the file's size", func(m *image) { m.link(13, 11); m.link(12, 0); m.link(20, 0) }, f, ErrCorrupt},
		{"chain: loop behind the file's end", func(m *image) { m.link(20, 61); m.link(61, 62); m.link(62, 61) }, f, ErrCorrupt},
		{"chain: to cluster 1", func(m *image) { m.link(11, 1) }, f, ErrCorrupt},
		{"chain: to the cluster behind the last", func(m *image) { m.link(11, limit(m)) }, f, ErrCorrupt},
		{"chain: to the highest number", func(m *image) { m.link(11, m.bad()-1) }, f, ErrCorrupt},
		{"chain: out of range behind the file's end", func(m *image) { m.link(20, limit(m)) }, f, ErrCorrupt},
		{"chain: too short", func(m *image) { m.link(12, m.end()) }, f, ErrCorrupt},
		{"chain: too short, by the lowest end mark", func(m *image) { m.link(12, m.end()-7) }, f, ErrCorrupt},
		{"chain: the lowest end mark at its end", func(m *image) { m.link(20, m.end()-7) }, f, nil},
		{"chain: into a free cluster", func(m *image) { m.link(12, 60) }, f, ErrCorrupt},
		{"chain: into a bad cluster", func(m *image) { m.link(12, 60); m.link(60, m.bad()) }, f, ErrCorrupt},
		{"chain: last cluster is free", func(m *image) { m.link(20, 0) }, f, ErrCorrupt},
		{"chain: last cluster is bad", func(m *image) { m.link(20, m.bad()) }, f, ErrCorrupt},
		{"chain: joins another file", func(m *image) { m.link(12, 6) }, f, nil}, // 6, 7: longer than the file, and cannot be noticed
		{"chain: joins another file, short of the size", func(m *image) { m.link(11, 7) }, f, ErrCorrupt},

		{"size: one byte more than the chain", func(m *image) { m.setSize(file, 5*512+1) }, f, ErrCorrupt},
		{"size: all of the chain", func(m *image) { m.setSize(file, 5*512) }, f, nil},
		{"size: 4 GiB", func(m *image) { m.setSize(file, 1<<32-1) }, f, ErrCorrupt},
		{"first cluster: 0", func(m *image) { m.setFirst(file, 0) }, f, ErrCorrupt},
		{"first cluster: 1", func(m *image) { m.setFirst(file, 1) }, f, ErrCorrupt},
		{"first cluster: behind the last", func(m *image) { m.setFirst(file, limit(m)) }, f, ErrCorrupt},
		{"first cluster: all ones", func(m *image) { m.setFirst(file, 0xffffffff) }, f, ErrCorrupt},
		{"first cluster: free", func(m *image) { m.setFirst(file, 60) }, f, ErrCorrupt},
		{"first cluster: the middle", func(m *image) { m.setFirst(file, 11) }, f, ErrCorrupt},
		{"first cluster: wild, of an empty file", func(m *image) { m.setFirst("EMPTY.TXT", 0xffffffff) }, askExtents("loader/ddi/EMPTY.TXT"), nil},

		{"directory: chain loops", func(m *image) { m.fill(24); m.link(24, 22) }, two, ErrCorrupt},
		{"directory: cluster leads to itself", func(m *image) { m.fill(24); m.link(24, 24) }, two, ErrCorrupt},
		{"directory: chain loops behind the end mark", func(m *image) { m.link(24, 22) }, two, nil},
		{"directory: is free", func(m *image) { m.link(22, 0) }, askStat("loader/two/FA"), ErrCorrupt},
		{"directory: chain into a free cluster", func(m *image) { m.link(22, 60) }, askStat("loader/two/LAST"), ErrCorrupt},
		{"directory: chain ends in a free cluster", func(m *image) { m.fill(24); m.link(24, 0) }, two, ErrCorrupt},
		{"directory: chain out of range", func(m *image) { m.link(22, limit(m)) }, two, ErrCorrupt},
		{"directory: full to the last slot", func(m *image) { m.fill(24) }, two, nil},
		{"directory: at the root's cluster", func(m *image) { m.setFirst("two", m.top.first) }, two, ErrCorrupt},
		{"directory: at the root's cluster, unopened", func(m *image) { m.setFirst("two", m.top.first) }, askStat("loader/two"), ErrCorrupt},
		{"directory: at cluster 0", func(m *image) { m.setFirst("two", 0) }, two, ErrCorrupt},
		{"directory: at cluster 1", func(m *image) { m.setFirst("two", 1) }, two, ErrCorrupt},
		{"directory: behind the last cluster", func(m *image) { m.setFirst("two", limit(m)) }, two, ErrCorrupt},
		{"directory: in itself", func(m *image) { m.setFirst("two", 8) }, two, ErrCorrupt},
		{"directory: in its grandchild", func(m *image) {
			m.setFirst("EMPTY.TXT", 8)
			m.b[m.at["EMPTY.TXT"]+11] = 0x10
		}, askDir("loader/ddi/EMPTY.TXT"), ErrCorrupt},
		{"directory: its parent is a file", func(m *image) { m.b[m.at["two"]+11] = 0x20 }, askStat("loader/two/LAST"), errNotExist},
		{"directory: the file is one", func(m *image) { m.b[m.at[file]+11] = 0x10 }, f, errInvalid},
		{"directory: deleted", func(m *image) { m.b[m.at["two"]] = 0xe5 }, two, errNotExist},
		{"directory: end mark before it", func(m *image) { m.b[m.at["two"]-32] = 0 }, two, errNotExist},
	}
}

func TestAttacks(t *testing.T) {
	for _, kind := range kinds {
		for _, a := range attacks() {
			t.Run(kind.String()+"/"+a.name, func(t *testing.T) {
				m := sample(t, shape{kind: kind})
				a.lie(m)
				err := a.ask(m.mustOpen())
				if !errors.Is(err, a.want) {
					t.Errorf("%v, want %v", err, a.want)
				}
			})
		}
	}
}

// TestMessages has the errors tell apart what their sentinel does not.
func TestMessages(t *testing.T) {
	for name, want := range map[string]string{
		"chain: into a free cluster":       "cannot map \"OS_1.2.raw\": cluster 60 is in its chain and marked as free: corrupt FAT file system",
		"chain: into a bad cluster":        "cannot map \"OS_1.2.raw\": cluster 60 is in its chain and marked as bad: corrupt FAT file system",
		"chain: to cluster 1":              "cannot map \"OS_1.2.raw\": cluster 11 leads to cluster 1, want 2 to 65: corrupt FAT file system",
		"chain: too short":                 "cannot map \"OS_1.2.raw\": it has 2500 bytes, its 4 clusters hold 2048: corrupt FAT file system",
		"chain: cluster leads to itself":   "cannot map \"OS_1.2.raw\": its chain leads back to cluster 11: corrupt FAT file system",
		"first cluster: behind the last":   "cannot map \"OS_1.2.raw\": it starts at cluster 66, want 2 to 65: corrupt FAT file system",
		"directory: at the root's cluster": "cannot find \"loader/two\": directory \"two\" starts at cluster 0, as one above it does: corrupt FAT file system",
	} {
		i := slices.IndexFunc(attacks(), func(a attack) bool { return a.name == name })
		m := sample(t, shape{})
		attacks()[i].lie(m)
		if err := attacks()[i].ask(m.mustOpen()); err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", name, err, want)
		}
	}
}

// TestRootAttacks has the lies that only a FAT32 root directory can tell.
func TestRootAttacks(t *testing.T) {
	for _, a := range []attack{
		{"chain loops", func(m *image) { m.fill(2); m.link(2, 2) }, askDir(""), ErrCorrupt},
		{"chain into a free cluster", func(m *image) { m.fill(2); m.link(2, 60) }, askDir(""), ErrCorrupt},
		{"is free", func(m *image) { m.fill(2); m.link(2, 0) }, askStat("nothing"), ErrCorrupt},
		{"found before the lie", func(m *image) { m.fill(2); m.link(2, 61); m.link(61, 2) }, askStat("loader"), nil},
	} {
		m := sample(t, shape{kind: FAT32})
		a.lie(m)
		if err := a.ask(m.mustOpen()); !errors.Is(err, a.want) {
			t.Errorf("%s: %v, want %v", a.name, err, a.want)
		}
	}
}

// TestHugeDirectory has one of exactly the allowed size, and one of a cluster more.
func TestHugeDirectory(t *testing.T) {
	const per, slots = 128, 128 * 512 / 32
	for _, c := range []struct {
		clusters int
		want     error
	}{
		{MaxSlots / slots, nil},
		{MaxSlots/slots + 1, ErrTooMany},
	} {
		m := newImage(t, shape{clusters: 40, per: per})
		m.mkdir(m.top, "HUGE", m.take(c.clusters)...)
		for k := range c.clusters {
			m.fill(uint32(2 + k))
		}
		copy(m.b[m.data+c.clusters*per*512-32:], "LAST    SLT")
		list, err := m.mustOpen().ReadDir("huge")
		if !errors.Is(err, c.want) || (err == nil && len(list) != 1) || (err != nil && list != nil) {
			t.Errorf("%d clusters: %d entries, %v, want %v", c.clusters, len(list), err, c.want)
		}
	}
}

// head is a device of which only the first bytes are kept; nobody is to read behind them.
type head []byte

func (h head) ReadAt(p []byte, off int64) (int, error) { return copy(p, h[off:]), nil }

// TestHugeChains has chains at the bounds, and counts the work and memory that they take.
func TestHugeChains(t *testing.T) {
	const (
		clusters = 1 << 24
		perTable = clusters*4/512 + 1
		total    = reservedSectors + 2*perTable + clusters
		most     = 1 << 32 / 512 // clusters of the largest file
	)
	const table = reservedSectors * 512
	b := make([]byte, table+perTable*512)
	copy(b, newImage(t, shape{kind: FAT32}).b[:512])
	binary.LittleEndian.PutUint32(b[32:], total)
	binary.LittleEndian.PutUint32(b[36:], perTable)
	for _, c := range []struct {
		name       string
		step, last uint32
		size       int64
		want       error
		runs       int
		reads      int
	}{
		{"the largest file", 1, 2 + most - 1, 1<<32 - 1, nil, 1, most * 4 / 4096},
		{"one cluster too long", 1, 2 + most, 1<<32 - 1, ErrCorrupt, 0, most * 4 / 4096},
		{"one cluster too long, behind the file's end", 1, 2 + most, 1, ErrCorrupt, 0, most * 4 / 4096},
		{"most runs", 2, 2 * MaxExtents, MaxExtents * 512, nil, MaxExtents, MaxExtents * 8 / 4096},
		{"a run too many", 2, 2*MaxExtents + 2, MaxExtents*512 + 1, ErrTooMany, 0, MaxExtents * 8 / 4096},
		{"a run too many, behind the file's end", 2, 2*MaxExtents + 2, 1, ErrTooMany, 0, MaxExtents * 8 / 4096},
		{"a short loop", 1, 0, 1<<32 - 1, ErrCorrupt, 0, 4},
		{"each entry in another block", 4099, 0, 1<<32 - 1, ErrTooMany, 0, MaxExtents},
	} {
		t.Run(c.name, func(t *testing.T) {
			// Each cluster leads to the one that is step behind it, round and round, but the last one ends the chain.
			for k := range uint32(clusters) {
				binary.LittleEndian.PutUint32(b[table+4*(k+2):], (k+c.step)%clusters+2)
			}
			binary.LittleEndian.PutUint32(b[table+4*c.last:], 0x0fffffff)
			if c.name == "a short loop" {
				binary.LittleEndian.PutUint32(b[table+4*1000:], 700)
			}
			d := &counter{ReaderAt: head(b)}
			f, err := Open(d, total*512)
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			list, err := f.fileExtents(2, c.size)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, c.want) || len(list) != c.runs || (err == nil && list.Size() != c.size) {
				t.Errorf("%d runs of %d bytes, %v; want %d of %d, %v", len(list), list.Size(), err, c.runs, c.size, c.want)
			}
			if c.name == "a short loop" && !strings.Contains(err.Error(), "leads back") {
				t.Errorf("%v: found by the chain's length only", err)
			}
			if limit := c.reads + 4; d.reads > limit {
				t.Errorf("%d reads, want at most %d", d.reads, limit)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 40<<20 {
				t.Errorf("%d bytes of memory", used)
			}
		})
	}
}
