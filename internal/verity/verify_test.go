// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package verity

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// buffer is a hash partition in memory; it grows as it is written to.
type buffer struct{ b []byte }

func (m *buffer) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(m.b) {
		m.b = append(m.b, make([]byte, need-len(m.b))...)
	}
	return copy(m.b[off:], p), nil
}

// testData returns n bytes that look random and are always the same.
func testData(n int64) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// build makes data and hash partition for a superblock.
func build(t testing.TB, sb *Superblock) (data, hash, root []byte) {
	t.Helper()
	data = testData(sb.DataSize())
	var m buffer
	root, err := Build(bytes.NewReader(data), &m, sb, nil)
	if err != nil {
		t.Fatal(err)
	}
	return data, m.b, root
}

func variants() []*Superblock {
	var all []*Superblock
	add := func(algorithm string, dataBS, hashBS uint32, salt []byte, blocks ...uint64) {
		for _, n := range blocks {
			s := testSuperblock(n)
			s.Algorithm, s.DataBlockSize, s.HashBlockSize, s.Salt = algorithm, dataBS, hashBS, salt
			all = append(all, s)
		}
	}
	salt := testSuperblock(1).Salt
	add("sha256", 4096, 4096, salt, 1, 2, 127, 128, 129, 257, 16384, 16385)
	add("sha256", 4096, 4096, nil, 1, 129)
	add("sha256", 4096, 4096, bytes.Repeat([]byte{0xa5}, 256), 129)
	add("sha384", 4096, 4096, salt, 1, 64, 65)
	add("sha384", 512, 512, salt, 1, 8, 9, 65)
	add("sha512", 4096, 4096, salt, 1, 2, 64, 65, 4097)
	add("sha512", 512, 512, salt, 1, 7, 8, 9, 513)
	add("sha256", 512, 512, salt, 1, 2, 15, 16, 17, 257)
	add("sha256", 1024, 1024, salt, 1, 2, 31, 32, 33, 1025)
	add("sha256", 2048, 2048, salt, 65)
	add("sha256", 1024, 4096, salt, 129)
	add("sha256", 4096, 1024, salt, 1, 33)
	add("sha256", 512, 4096, salt, 16385)
	return all
}

func name(s *Superblock) string {
	return fmt.Sprintf("%s/data%d/hash%d/salt%d/%d", s.Algorithm, s.DataBlockSize, s.HashBlockSize, len(s.Salt), s.DataBlocks)
}

// TestVeritysetup compares with the reference implementation, in both directions.
func TestVeritysetup(t *testing.T) {
	tool, err := exec.LookPath("veritysetup")
	if err != nil {
		t.Skip("needs veritysetup (Debian package cryptsetup-bin)")
	}
	for _, sb := range variants() {
		t.Run(name(sb), func(t *testing.T) {
			dir := t.TempDir()
			dataFile, hashFile, ours := filepath.Join(dir, "data"), filepath.Join(dir, "hash"), filepath.Join(dir, "ours")
			data, hash, root := build(t, sb)
			if err := os.WriteFile(dataFile, data, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(ours, hash, 0o600); err != nil {
				t.Fatal(err)
			}
			salt := "-"
			if len(sb.Salt) > 0 {
				salt = hex.EncodeToString(sb.Salt)
			}
			out, err := exec.Command(tool, "format", dataFile, hashFile, "--uuid="+sb.UUID.String(), "--salt="+salt, "--hash="+sb.Algorithm,
				fmt.Sprintf("--data-block-size=%d", sb.DataBlockSize), fmt.Sprintf("--hash-block-size=%d", sb.HashBlockSize)).CombinedOutput()
			if err != nil {
				t.Fatalf("veritysetup format: %v\n%s", err, out)
			}
			_, after, _ := strings.Cut(string(out), "Root hash:")
			if theirs := strings.Fields(after); len(theirs) == 0 || hex.EncodeToString(root) != theirs[0] {
				t.Errorf("root hash %x, veritysetup says:\n%s", root, out)
			}
			theirs, err := os.ReadFile(hashFile)
			if err != nil {
				t.Fatal(err)
			}
			// A partition has whole blocks; veritysetup leaves a new file shorter where nothing but the superblock is in it.
			for int64(len(theirs)) < sb.HashTreeSize() {
				theirs = append(theirs, 0)
			}
			if !bytes.Equal(hash, theirs) {
				t.Errorf("hash partitions of %d and %d bytes differ", len(hash), len(theirs))
			}
			if out, err := exec.Command(tool, "verify", dataFile, ours, hex.EncodeToString(root)).CombinedOutput(); err != nil {
				t.Errorf("veritysetup verify: %v\n%s", err, out)
			}
			parsed, err := ParseSuperblock(theirs)
			if err != nil {
				t.Fatal(err)
			}
			if err := Verify(bytes.NewReader(data), bytes.NewReader(theirs), parsed, root, nil); err != nil {
				t.Errorf("Verify of veritysetup's tree: %v", err)
			}
		})
	}
}

// TestBuildVectors pins root hashes that veritysetup 2.6.1 printed, for machines without it.
func TestBuildVectors(t *testing.T) {
	tests := []struct {
		blocks uint64
		root   string
	}{
		{1, "45ae4b7e7928f7a092005d6273b6a52cfa5fa4ff67d6272cc4ed1ff52273fcbf"},
		{129, "bf483de493ffbcd0ea86418a802df37bbdb2745785f3de98faefc150d415b4f0"},
	}
	for _, tt := range tests {
		sb := testSuperblock(tt.blocks)
		var m buffer
		root, err := Build(bytes.NewReader(make([]byte, sb.DataSize())), &m, sb, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(root); got != tt.root {
			t.Errorf("%d blocks of zeros: root hash %s, want %s", tt.blocks, got, tt.root)
		}
	}
}

func TestVerify(t *testing.T) {
	for _, sb := range variants() {
		data, hash, root := build(t, sb)
		if got, want := int64(len(hash)), sb.HashTreeSize(); got != want {
			t.Errorf("%s: Build wrote %d bytes, HashTreeSize is %d", name(sb), got, want)
		}
		var last, calls int64
		progress := func(done, total int64) {
			if done <= last || total != sb.DataSize() {
				t.Errorf("%s: progress(%d, %d) after %d", name(sb), done, total, last)
			}
			last, calls = done, calls+1
		}
		if err := Verify(bytes.NewReader(data), bytes.NewReader(hash), sb, root, progress); err != nil {
			t.Errorf("%s: %v", name(sb), err)
		}
		if last != sb.DataSize() {
			t.Errorf("%s: progress ended at %d of %d", name(sb), last, sb.DataSize())
		}
		root[0] ^= 1
		var ce *CorruptError
		if err := Verify(bytes.NewReader(data), bytes.NewReader(hash), sb, root, nil); !errors.As(err, &ce) {
			t.Errorf("%s, another root hash: %v", name(sb), err)
		}
	}
}

// TestVerifyFlips has three hash levels: blocks 1 (level 2), 2 to 3 (level 1), 4 to 132 (level 0).
func TestVerifyFlips(t *testing.T) {
	sb := testSuperblock(16385)
	data, hash, root := build(t, sb)
	tests := []struct {
		name   string
		part   []byte
		offset int
		level  int
		block  uint64
	}{
		{"top level", hash, 1 * 4096, 2, 1},
		{"top level, unused end", hash, 1*4096 + 4095, 2, 1},
		{"middle level", hash, 2 * 4096, 1, 2},
		{"middle level, last block", hash, 3*4096 + 31, 1, 3},
		{"lowest level", hash, 4 * 4096, 0, 4},
		{"lowest level, last digest of a block", hash, 60*4096 + 4095, 0, 60},
		{"lowest level, last block", hash, 132 * 4096, 0, 132},
		{"first data byte", data, 0, DataLevel, 0},
		{"data in the middle", data, 1000*4096 + 77, DataLevel, 1000},
		{"last data byte", data, 16385*4096 - 1, DataLevel, 16384},
	}
	for _, tt := range tests {
		tt.part[tt.offset] ^= 0x10
		err := Verify(bytes.NewReader(data), bytes.NewReader(hash), sb, root, nil)
		var ce *CorruptError
		if !errors.As(err, &ce) || ce.Level != tt.level || ce.Block != tt.block {
			t.Errorf("%s: error %v, want level %d block %d", tt.name, err, tt.level, tt.block)
		} else if len(ce.Want) != 32 || len(ce.Got) != 32 || bytes.Equal(ce.Want, ce.Got) {
			t.Errorf("%s: want %x, got %x", tt.name, ce.Want, ce.Got)
		}
		tt.part[tt.offset] ^= 0x10
	}
	// Two bad data blocks: the first one is named.
	data[5*4096] ^= 1
	data[4*4096] ^= 1
	var ce *CorruptError
	if err := Verify(bytes.NewReader(data), bytes.NewReader(hash), sb, root, nil); !errors.As(err, &ce) || ce.Block != 4 {
		t.Errorf("two bad blocks: %v", err)
	} else if !strings.HasPrefix(ce.Error(), "cannot verify data block 4: digest is ") {
		t.Errorf("text is %q", ce)
	}
}

// TestVerifyTreeNotOnlyData replaces a hash block together with the data below it, as who does not know the root hash can.
func TestVerifyTreeNotOnlyData(t *testing.T) {
	sb := testSuperblock(129)
	data, hash, root := build(t, sb)
	data[0] ^= 1
	copy(hash[2*4096:], newHasher(sb).digest(data[:4096]))
	var ce *CorruptError
	if err := Verify(bytes.NewReader(data), bytes.NewReader(hash), sb, root, nil); !errors.As(err, &ce) || ce.Level != 0 || ce.Block != 2 {
		t.Errorf("error %v, want level 0 block 2", err)
	}
}

func TestIOErrors(t *testing.T) {
	sb := testSuperblock(129)
	data, hash, root := build(t, sb)
	if err := Verify(bytes.NewReader(data[:len(data)-1]), bytes.NewReader(hash), sb, root, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short data: %v", err)
	}
	if err := Verify(bytes.NewReader(data), bytes.NewReader(hash[:len(hash)-1]), sb, root, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short hash partition: %v", err)
	}
	if err := Verify(bytes.NewReader(data), bytes.NewReader(hash), sb, root[:31], nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("short root hash: %v", err)
	}
	if err := Verify(bytes.NewReader(data), bytes.NewReader(hash), &Superblock{}, root, nil); !errors.Is(err, ErrUnsupported) {
		t.Errorf("no superblock: %v", err)
	}
	if _, err := Build(bytes.NewReader(data[:len(data)-1]), new(buffer), sb, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Build from short data: %v", err)
	}
	if _, err := Build(bytes.NewReader(data), failingWriter{}, sb, nil); !errors.Is(err, errDisk) {
		t.Errorf("Build to a full disk: %v", err)
	}
	if _, err := Build(bytes.NewReader(data), new(buffer), &Superblock{}, nil); !errors.Is(err, ErrUnsupported) {
		t.Errorf("Build with an invalid superblock: %v", err)
	}
}

var errDisk = errors.New("disk full")

type failingWriter struct{}

func (failingWriter) WriteAt([]byte, int64) (int, error) { return 0, errDisk }

// TestBuildOrder checks that a partition becomes valid with the last write only, and that no byte is written twice.
func TestBuildOrder(t *testing.T) {
	sb := testSuperblock(300)
	data := testData(sb.DataSize())
	var w orderWriter
	if _, err := Build(bytes.NewReader(data), &w, sb, nil); err != nil {
		t.Fatal(err)
	}
	seen := map[int64]bool{}
	for i, off := range w.offsets {
		if seen[off] {
			t.Errorf("block at %d written twice", off)
		}
		seen[off] = true
		if (off == 0) != (i == len(w.offsets)-1) {
			t.Errorf("write %d of %d is at %d", i+1, len(w.offsets), off)
		}
	}
	if len(seen) != 1+3+1 {
		t.Errorf("%d blocks written, want 5", len(seen))
	}
}

type orderWriter struct{ offsets []int64 }

func (w *orderWriter) WriteAt(p []byte, off int64) (int, error) {
	w.offsets = append(w.offsets, off)
	return len(p), nil
}

func FuzzVerifyFlip(f *testing.F) {
	f.Add(uint8(0), uint16(1), uint32(0), uint8(1))
	f.Add(uint8(1), uint16(17), uint32(9000), uint8(0x80))
	f.Add(uint8(2), uint16(70), uint32(40000), uint8(4))
	f.Add(uint8(3), uint16(300), uint32(1<<31), uint8(255))
	f.Fuzz(func(t *testing.T, kind uint8, blocks uint16, at uint32, mask uint8) {
		sb := testSuperblock(uint64(blocks%600) + 1)
		sb.Algorithm = [...]string{"sha256", "sha384", "sha512"}[kind%3]
		sb.DataBlockSize = 512 << (kind / 3 % 2)
		sb.HashBlockSize = 512 << (kind / 6 % 4)
		data, hash, root := build(t, sb)
		if err := Verify(bytes.NewReader(data), bytes.NewReader(hash), sb, root, nil); err != nil {
			t.Fatalf("%s: %v", name(sb), err)
		}
		r, err := NewReader(bytes.NewReader(data), bytes.NewReader(hash), sb, root)
		if err != nil {
			t.Fatal(err)
		}
		// The superblock's block is not part of what is verified.
		tree := hash[sb.HashBlockSize:]
		level, off := DataLevel, int(uint64(at)%uint64(len(data)+len(tree)))
		if off < len(data) {
			data[off] ^= mask
		} else {
			level = 0
			tree[off-len(data)] ^= mask
		}
		err = Verify(bytes.NewReader(data), bytes.NewReader(hash), sb, root, nil)
		got, readErr := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
		if mask == 0 {
			if err != nil || readErr != nil || !bytes.Equal(got, data) {
				t.Errorf("%s unchanged: %v, %v", name(sb), err, readErr)
			}
			return
		}
		var ce, readCE *CorruptError
		if !errors.As(err, &ce) {
			t.Fatalf("%s, byte %d of %d data bytes and tree changed: Verify says %v", name(sb), off, len(data), err)
		}
		if !errors.As(readErr, &readCE) {
			t.Fatalf("%s, byte %d of %d data bytes and tree changed: Reader says %v", name(sb), off, len(data), readErr)
		}
		if ce.Level != readCE.Level || ce.Block != readCE.Block {
			t.Errorf("%s: Verify says %v, Reader says %v", name(sb), ce, readCE)
		}
		want := uint64(off) / uint64(sb.DataBlockSize)
		if level != DataLevel {
			want = 1 + uint64(off-len(data))/uint64(sb.HashBlockSize)
		}
		if (ce.Level == DataLevel) != (level == DataLevel) || ce.Block != want {
			t.Errorf("%s, byte %d of %d data bytes and tree changed: %v, want block %d", name(sb), off, len(data), ce, want)
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	sb := testSuperblock(16384)
	data := testData(sb.DataSize())
	b.SetBytes(sb.DataSize())
	for b.Loop() {
		var m buffer
		m.b = make([]byte, 0, sb.HashTreeSize())
		if _, err := Build(bytes.NewReader(data), &m, sb, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	sb := testSuperblock(16384)
	data, hash, root := build(b, sb)
	b.SetBytes(sb.DataSize())
	for b.Loop() {
		if err := Verify(bytes.NewReader(data), bytes.NewReader(hash), sb, root, nil); err != nil {
			b.Fatal(err)
		}
	}
}
