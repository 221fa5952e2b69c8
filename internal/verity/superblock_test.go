// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package verity

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/alloctest"
	"github.com/initddi/initddi/internal/guid"
)

// testSuperblock is sha256 with 4096-byte blocks and a salt, as systemd-repart makes them.
func testSuperblock(dataBlocks uint64) *Superblock {
	return &Superblock{
		UUID:          guid.MustParse("0be9b46a-382b-4a50-91c9-02da0cf0f50d"),
		HashType:      1,
		Algorithm:     "sha256",
		DataBlockSize: 4096,
		HashBlockSize: 4096,
		DataBlocks:    dataBlocks,
		Salt:          unhex("d8f43870af05f2fb613c2bb571f911da45cfa46a77e6efeabbdd5ed760ebabde"),
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// superblockBytes is the superblock of testSuperblock(262144), written down byte by byte.
func superblockBytes() []byte {
	b := slices.Concat(
		[]byte("verity\x00\x00"),
		unhex("01000000"), // version
		unhex("01000000"), // hash type
		unhex("0be9b46a382b4a5091c902da0cf0f50d"),
		[]byte("sha256"), make([]byte, 26),
		unhex("00100000"), unhex("00100000"), // block sizes
		unhex("0000040000000000"), // data blocks
		unhex("2000"), make([]byte, 6),
		unhex("d8f43870af05f2fb613c2bb571f911da45cfa46a77e6efeabbdd5ed760ebabde"),
	)
	return append(b, make([]byte, 512-len(b))...)
}

func TestSuperblockBytes(t *testing.T) {
	got, err := testSuperblock(262144).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if want := superblockBytes(); !bytes.Equal(got, want) {
		t.Errorf("MarshalBinary:\n got %x\nwant %x", got, want)
	}
	s, err := ParseSuperblock(superblockBytes())
	if err != nil {
		t.Fatal(err)
	}
	if s.UUID.String() != "0be9b46a-382b-4a50-91c9-02da0cf0f50d" || s.HashType != 1 || s.Algorithm != "sha256" ||
		s.DataBlockSize != 4096 || s.HashBlockSize != 4096 || s.DataBlocks != 262144 || len(s.Salt) != 32 || s.Salt[0] != 0xd8 {
		t.Errorf("ParseSuperblock = %+v", s)
	}
}

func TestParseSuperblockErrors(t *testing.T) {
	le := binary.LittleEndian
	tests := []struct {
		name string
		edit func(b []byte) []byte
		want error
		text string
	}{
		{"empty", func(b []byte) []byte { return nil }, ErrNoSuperblock, "0 bytes"},
		{"short", func(b []byte) []byte { return b[:511] }, ErrNoSuperblock, "511 bytes, want 512"},
		{"magic", func(b []byte) []byte { b[7] = 1; return b }, ErrNoSuperblock, `verity\x00\x01`},
		{"version 0", func(b []byte) []byte { b[8] = 0; return b }, ErrUnsupported, "version 0, want 1"},
		{"version 2", func(b []byte) []byte { b[8] = 2; return b }, ErrUnsupported, "version 2, want 1"},
		{"Chrome OS", func(b []byte) []byte { b[12] = 0; return b }, ErrUnsupported, "hash type 0, want 1"},
		{"sha1", func(b []byte) []byte { copy(b[32:], "sha1\x00\x00"); return b }, ErrUnsupported, `"sha1"`},
		{"upper case", func(b []byte) []byte { copy(b[32:], "SHA256"); return b }, ErrUnsupported, `"SHA256"`},
		{"no end of name", func(b []byte) []byte { copy(b[32:64], bytes.Repeat([]byte("a"), 32)); return b }, ErrUnsupported, "aaaa"},
		{"no name", func(b []byte) []byte { clear(b[32:64]); return b }, ErrUnsupported, `""`},
		{"data block 256", func(b []byte) []byte { le.PutUint32(b[64:], 256); return b }, ErrUnsupported, "data block size 256"},
		{"data block 8192", func(b []byte) []byte { le.PutUint32(b[64:], 8192); return b }, ErrUnsupported, "data block size 8192"},
		{"data block 1536", func(b []byte) []byte { le.PutUint32(b[64:], 1536); return b }, ErrUnsupported, "data block size 1536"},
		{"data block 0", func(b []byte) []byte { le.PutUint32(b[64:], 0); return b }, ErrUnsupported, "data block size 0"},
		{"hash block 0", func(b []byte) []byte { le.PutUint32(b[68:], 0); return b }, ErrUnsupported, "hash block size 0"},
		{"hash block 65536", func(b []byte) []byte { le.PutUint32(b[68:], 65536); return b }, ErrUnsupported, "hash block size 65536"},
		{"no blocks", func(b []byte) []byte { le.PutUint64(b[72:], 0); return b }, ErrInvalid, "data blocks 0"},
		{"too many", func(b []byte) []byte { le.PutUint64(b[72:], 1<<51); return b }, ErrInvalid, "2251799813685248"},
		{"far too many", func(b []byte) []byte { le.PutUint64(b[72:], math.MaxUint64); return b }, ErrInvalid, "data blocks 18446744073709551615"},
		{"salt 257", func(b []byte) []byte { le.PutUint16(b[80:], 257); return b }, ErrInvalid, "salt size 257, the most is 256"},
		{"salt 65535", func(b []byte) []byte { le.PutUint16(b[80:], 65535); return b }, ErrInvalid, "salt size 65535"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseSuperblock(tt.edit(superblockBytes()))
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %q does not contain %q", err, tt.text)
			}
		})
	}
}

func TestParseSuperblockLimits(t *testing.T) {
	tests := []struct {
		name string
		edit func(b []byte)
	}{
		{"most blocks", func(b []byte) { binary.LittleEndian.PutUint64(b[72:], 1<<51-1) }},
		{"salt 256", func(b []byte) { b[80], b[81] = 0, 1 }},
		{"no salt", func(b []byte) { b[80] = 0 }},
		{"reserved bytes", func(b []byte) { b[82], b[511], b[38+1] = 1, 1, 'x' }},
	}
	for _, tt := range tests {
		b := superblockBytes()
		tt.edit(b)
		if _, err := ParseSuperblock(b); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	// Extra bytes behind the superblock are the rest of the block.
	if _, err := ParseSuperblock(append(superblockBytes(), 1, 2, 3)); err != nil {
		t.Error(err)
	}
}

func TestSizes(t *testing.T) {
	tests := []struct {
		algorithm      string
		dataBS, hashBS uint32
		blocks         uint64
		wantData       int64
		wantHashBlocks int64 // the superblock's included
	}{
		{"sha256", 4096, 4096, 1, 4096, 1},
		{"sha256", 4096, 4096, 2, 8192, 2},
		{"sha256", 4096, 4096, 128, 128 * 4096, 2},
		{"sha256", 4096, 4096, 129, 129 * 4096, 1 + 2 + 1},
		{"sha256", 4096, 4096, 16384, 1 << 26, 1 + 128 + 1},
		{"sha256", 4096, 4096, 16385, 1<<26 + 4096, 1 + 129 + 2 + 1},
		{"sha384", 4096, 4096, 65, 65 * 4096, 1 + 2 + 1}, // 48 bytes take 64
		{"sha512", 4096, 4096, 65, 65 * 4096, 1 + 2 + 1},
		{"sha512", 512, 512, 65, 65 * 512, 1 + 9 + 2 + 1},
		{"sha256", 1024, 4096, 129, 129 * 1024, 1 + 2 + 1},
		{"sha256", 4096, 512, 17, 17 * 4096, 1 + 2 + 1},
		// The largest there is: nothing overflows.
		{"sha512", 512, 512, math.MaxInt64 / 512, math.MaxInt64 - 511, 1 + 2573485501354569},
	}
	for _, tt := range tests {
		s := testSuperblock(tt.blocks)
		s.Algorithm, s.DataBlockSize, s.HashBlockSize = tt.algorithm, tt.dataBS, tt.hashBS
		if got := s.DataSize(); got != tt.wantData {
			t.Errorf("%s/%d/%d/%d: DataSize = %d, want %d", tt.algorithm, tt.dataBS, tt.hashBS, tt.blocks, got, tt.wantData)
		}
		if got, want := s.HashTreeSize(), tt.wantHashBlocks*int64(tt.hashBS); got != want {
			t.Errorf("%s/%d/%d/%d: HashTreeSize = %d, want %d", tt.algorithm, tt.dataBS, tt.hashBS, tt.blocks, got, want)
		}
	}
	if n := new(Superblock).HashTreeSize(); n != 0 {
		t.Errorf("HashTreeSize of an invalid superblock = %d, want 0", n)
	}
}

func TestCheck(t *testing.T) {
	s := testSuperblock(129)
	if err := s.Check(129*4096, 4*4096); err != nil {
		t.Error(err)
	}
	if err := s.Check(129*4096-1, 4*4096); !errors.Is(err, ErrTooSmall) ||
		!strings.Contains(err.Error(), "data partition") || !strings.Contains(err.Error(), "528383 bytes, the superblock says 528384") {
		t.Errorf("small data partition: %v", err)
	}
	if err := s.Check(129*4096, 4*4096-1); !errors.Is(err, ErrTooSmall) || !strings.Contains(err.Error(), "hash partition") {
		t.Errorf("small hash partition: %v", err)
	}
	if err := new(Superblock).Check(1, 1); !errors.Is(err, ErrUnsupported) {
		t.Errorf("invalid superblock: %v", err)
	}
}

func TestTableParams(t *testing.T) {
	root := unhex("4392712ba01368efdf14b05c76f9e4df0d53664630b5d48632ed17a137f39076")
	s := testSuperblock(262144)
	s.Salt = unhex("1234000000000000000000000000000000000000000000000000000000000000")
	table, err := s.Table("/dev/sda1", "/dev/sda2", root)
	if err != nil {
		t.Fatal(err)
	}
	// The example in verity.rst.
	if got := table.Sectors(); got != 2097152 {
		t.Errorf("Sectors = %d, want 2097152", got)
	}
	const common = "4096 4096 262144 1 sha256 4392712ba01368efdf14b05c76f9e4df0d53664630b5d48632ed17a137f39076"
	const want = "1 /dev/sda1 /dev/sda2 " + common + " 1234000000000000000000000000000000000000000000000000000000000000"
	if got := table.Params(); got != want {
		t.Errorf("Params:\n got %s\nwant %s", got, want)
	}
	s.Salt = nil
	table, err = s.Table("7:0", `a b\`, root, "restart_on_corruption", "root_hash_sig_key_desc", "cryptsetup:x")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := table.Params(), `1 7:0 a\ b\\ `+common+` - 3 restart_on_corruption root_hash_sig_key_desc cryptsetup:x`; got != want {
		t.Errorf("Params:\n got %s\nwant %s", got, want)
	}
	if _, err := s.Table("a", "b", root[:16]); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "16 bytes, sha256 has 32") {
		t.Errorf("half a root hash: %v", err)
	}
}

// TestRepart uses the values of an image that systemd-repart made with this seed.
func TestRepart(t *testing.T) {
	seed := guid.MustParse("48c56959-5579-5709-85af-f5393936a4d8")
	if got := hex.EncodeToString(RepartSalt(seed)); got != "d8f43870af05f2fb613c2bb571f911da45cfa46a77e6efeabbdd5ed760ebabde" {
		t.Errorf("RepartSalt = %s", got)
	}
	if got := RepartUUID(seed).String(); got != "0be9b46a-382b-4a50-91c9-02da0cf0f50d" {
		t.Errorf("RepartUUID = %s", got)
	}
}

func FuzzParseSuperblock(f *testing.F) {
	f.Add(superblockBytes())
	f.Add(superblockBytes()[:100])
	for _, off := range []int{8, 12, 32, 64, 68, 79, 81, 82, 343, 344} {
		b := superblockBytes()
		b[off]++
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		defer alloctest.AtMost(t, alloctest.Hostile)()
		s, err := ParseSuperblock(b)
		if err != nil {
			if s != nil {
				t.Error("a superblock together with an error")
			}
			if !errors.Is(err, ErrNoSuperblock) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrInvalid) {
				t.Errorf("error of no kind: %v", err)
			}
			return
		}
		out, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseSuperblock(out)
		if err != nil {
			t.Fatal(err)
		}
		if again.UUID != s.UUID || again.Algorithm != s.Algorithm || again.DataBlocks != s.DataBlocks ||
			again.DataBlockSize != s.DataBlockSize || again.HashBlockSize != s.HashBlockSize || !bytes.Equal(again.Salt, s.Salt) {
			t.Errorf("round trip:\n got %+v\nwant %+v", again, s)
		}
		data, tree := s.DataSize(), s.HashTreeSize()
		if data < 512 || tree < 512 || tree-2*4096*18 > data/512*80 {
			t.Errorf("%+v: DataSize %d, HashTreeSize %d", s, data, tree)
		}
		if err := s.Check(data, tree); err != nil {
			t.Error(err)
		}
		if table, err := s.Table("a", "b", make([]byte, s.DigestSize())); err != nil || table.Sectors() != uint64(data)/512 {
			t.Errorf("Table: %d sectors for %d bytes, %v", table.Sectors(), data, err)
		}
	})
}
