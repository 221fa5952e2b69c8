// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fsprobe

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/guid"
)

const testUUID = "00112233-4455-6677-8899-aabbccddeeff"

func putUUID(b []byte) {
	g := guid.MustParse(testUUID)
	copy(b, g[:])
}

// The builders make the least that counts as the file system, in images of 64 KiB.
const imageSize = 64 << 10

func newEROFS() []byte {
	m := make([]byte, imageSize)
	b := m[1024:]
	le.PutUint32(b, 0xe0f5e1e2)
	b[12] = 12
	le.PutUint16(b[14:], 36) // root nid
	le.PutUint32(b[36:], 16)
	putUUID(b[48:])
	return m
}

func newSquashFS() []byte {
	m := make([]byte, imageSize)
	copy(m, "hsqs")
	le.PutUint32(m[12:], 1<<17)
	le.PutUint16(m[22:], 17)
	le.PutUint16(m[28:], 4)
	le.PutUint64(m[40:], 12345)
	return m
}

func newExt4() []byte {
	m := make([]byte, imageSize)
	b := m[1024:]
	le.PutUint32(b[4:], 64)
	le.PutUint16(b[0x38:], 0xef53)
	putUUID(b[0x68:])
	return m
}

func newVFAT() []byte {
	m := make([]byte, imageSize)
	copy(m, "\xeb\x3c\x90mkfs.fat")
	le.PutUint16(m[11:], 512)
	m[13], m[14], m[16], m[21] = 4, 1, 2, 0xf8
	le.PutUint16(m[19:], 128)
	m[510], m[511] = 0x55, 0xaa
	return m
}

func TestProbe(t *testing.T) {
	uuid := guid.MustParse(testUUID)
	for _, tt := range []struct {
		name  string
		image []byte
		lie   func(m []byte)
		want  FS
		err   error
		text  string
	}{
		{"erofs", newEROFS(), nil, FS{EROFS, 4096, uuid, 65536}, nil, ""},
		{"erofs, 512-byte blocks", newEROFS(), func(m []byte) { m[1024+12] = 9 }, FS{EROFS, 512, uuid, 8192}, nil, ""},
		{"erofs, 48-bit", newEROFS(), func(m []byte) { m[1024+80] = 0x80 }, FS{}, ErrTooLarge, "erofs takes 633318697664512 bytes, but there are only 65536"},
		{"erofs, 48-bit and small", newEROFS(), func(m []byte) { m[1024+80] = 0x80; m[1024+14] = 0 }, FS{EROFS, 4096, uuid, 65536}, nil, ""},
		{"erofs, one block too many", newEROFS(), func(m []byte) { m[1024+36] = 17 }, FS{}, ErrTooLarge, "erofs takes 69632 bytes, but there are only 65536"},
		{"erofs, block size 256", newEROFS(), func(m []byte) { m[1024+12] = 8 }, FS{}, ErrCorrupt, "block size is 2^8 bytes"},
		{"erofs, block size 128 KiB", newEROFS(), func(m []byte) { m[1024+12] = 17 }, FS{}, ErrCorrupt, "2^17"},
		{"erofs, block size 2^255", newEROFS(), func(m []byte) { m[1024+12] = 255 }, FS{}, ErrCorrupt, "2^255"},
		{"erofs, no blocks", newEROFS(), func(m []byte) { m[1024+36] = 0 }, FS{}, ErrCorrupt, "0 blocks of 4096 bytes do not even hold the superblock"},
		{"erofs, smaller than its superblock", newEROFS(), func(m []byte) { m[1024+12] = 9; m[1024+36] = 2 }, FS{}, ErrCorrupt, "2 blocks of 512 bytes"},
		{"erofs, 2^64 bytes", newEROFS(), func(m []byte) {
			m[1024+12], m[1024+80] = 16, 0x80
			copy(m[1024+14:], "\xff\xff")
			copy(m[1024+36:], "\xff\xff\xff\xff")
		}, FS{}, ErrCorrupt, "281474976710655 blocks of 65536 bytes are more than any device has"},

		{"squashfs", newSquashFS(), nil, FS{SquashFS, 131072, guid.GUID{}, 12345}, nil, ""},
		{"squashfs, large block size", newSquashFS(), func(m []byte) { le.PutUint32(m[12:], 1<<21); m[22] = 21 }, FS{}, ErrCorrupt, "block size is 2097152 bytes and 2^21 bytes"},
		{"squashfs, two block sizes", newSquashFS(), func(m []byte) { m[22] = 16 }, FS{}, ErrCorrupt, "block size is 131072 bytes and 2^16 bytes"},
		{"squashfs 3.1", newSquashFS(), func(m []byte) { m[28], m[30] = 3, 1 }, FS{}, ErrCorrupt, "version is 3.1, want 4.0"},
		{"squashfs, too large", newSquashFS(), func(m []byte) { le.PutUint64(m[40:], 65537) }, FS{}, ErrTooLarge, "squashfs takes 65537 bytes, but there are only 65536"},
		{"squashfs, 2^64-1 bytes", newSquashFS(), func(m []byte) { le.PutUint64(m[40:], math.MaxUint64) }, FS{}, ErrCorrupt, "more than any device"},
		{"squashfs, 95 bytes", newSquashFS(), func(m []byte) { le.PutUint64(m[40:], 95) }, FS{}, ErrCorrupt, "95 blocks of 1 bytes do not"},

		{"ext4", newExt4(), nil, FS{Ext4, 1024, uuid, 65536}, nil, ""},
		{"ext4, 4 KiB blocks", newExt4(), func(m []byte) { m[1024+0x18], m[1024+4] = 2, 15 }, FS{Ext4, 4096, uuid, 61440}, nil, ""},
		{"ext4, high blocks without 64bit", newExt4(), func(m []byte) { m[1024+0x150] = 1 }, FS{Ext4, 1024, uuid, 65536}, nil, ""},
		{"ext4, 64bit", newExt4(), func(m []byte) { m[1024+0x150], m[1024+0x60] = 1, 0x80 }, FS{}, ErrTooLarge, "ext4 takes 4398046576640 bytes"},
		{"ext4, 2^64 blocks", newExt4(), func(m []byte) { m[1024+0x60] = 0x80; copy(m[1024+0x150:], "\xff\xff\xff\xff") }, FS{}, ErrCorrupt, "more than any device"},
		{"ext4, block size 128 KiB", newExt4(), func(m []byte) { m[1024+0x18] = 7 }, FS{}, ErrCorrupt, "block size is 2^17 bytes"},
		{"ext4, huge block size", newExt4(), func(m []byte) { copy(m[1024+0x18:], "\xff\xff\xff\xff") }, FS{}, ErrCorrupt, "block size is 2^4294967305 bytes"},
		{"ext4, one block", newExt4(), func(m []byte) { m[1024+4] = 1 }, FS{}, ErrCorrupt, "1 blocks of 1024 bytes do not"},
		{"ext4 journal device", newExt4(), func(m []byte) { m[1024+0x60] = 0x8 }, FS{}, ErrCorrupt, "external journal"},

		{"vfat", newVFAT(), nil, FS{VFAT, 512, guid.GUID{}, 65536}, nil, ""},
		{"vfat, 32-bit count", newVFAT(), func(m []byte) { m[19], m[32] = 0, 100 }, FS{VFAT, 512, guid.GUID{}, 51200}, nil, ""},
		{"vfat, too large", newVFAT(), func(m []byte) { m[19] = 129 }, FS{}, ErrTooLarge, "vfat takes 66048 bytes"},
		{"vfat, empty", newVFAT(), func(m []byte) { m[19] = 0 }, FS{}, ErrCorrupt, "0 blocks of 512 bytes"},
		{"vfat, no boot signature", newVFAT(), func(m []byte) { m[511] = 0 }, FS{}, ErrUnknown, ""},
		{"vfat, sectors of 513", newVFAT(), func(m []byte) { m[11] = 1 }, FS{}, ErrUnknown, ""},
		{"vfat, sectors of 256", newVFAT(), func(m []byte) { m[12] = 1 }, FS{}, ErrUnknown, ""},
		{"vfat, sectors of 8192", newVFAT(), func(m []byte) { m[12] = 32 }, FS{}, ErrUnknown, ""},
		{"vfat, 3 sectors in a cluster", newVFAT(), func(m []byte) { m[13] = 3 }, FS{}, ErrUnknown, ""},
		{"vfat, no reserved sectors", newVFAT(), func(m []byte) { m[14] = 0 }, FS{}, ErrUnknown, ""},
		{"vfat, no FATs", newVFAT(), func(m []byte) { m[16] = 0 }, FS{}, ErrUnknown, ""},
		{"vfat, media", newVFAT(), func(m []byte) { m[21] = 0xf1 }, FS{}, ErrUnknown, ""},

		{"erofs and ext4", newEROFS(), func(m []byte) { le.PutUint16(m[1024+0x38:], 0xef53) }, FS{}, ErrAmbiguous, "erofs, ext4"},
		{"erofs and squashfs", newEROFS(), func(m []byte) { copy(m, newSquashFS()[:96]) }, FS{}, ErrAmbiguous, "erofs, squashfs"},
		{"squashfs and ext4", newExt4(), func(m []byte) { copy(m, "hsqs") }, FS{}, ErrAmbiguous, "squashfs, ext4"},
		{"ext4 and vfat", newExt4(), func(m []byte) { copy(m, newVFAT()[:512]) }, FS{}, ErrAmbiguous, "ext4, vfat"},
		{"the second is corrupt", newEROFS(), func(m []byte) { copy(m, "hsqs") }, FS{}, ErrAmbiguous, "erofs, squashfs"},

		{"zeros", make([]byte, imageSize), nil, FS{}, ErrUnknown, "cannot probe the file system: no known file system"},
		{"nothing", nil, nil, FS{}, ErrUnknown, ""},
		{"xfs", make([]byte, imageSize), func(m []byte) { copy(m, "XFSB") }, FS{}, ErrUnknown, "found xfs, want erofs, squashfs, ext4 or vfat"},
		{"LUKS", make([]byte, imageSize), func(m []byte) { copy(m, "LUKS\xba\xbe\x00\x02") }, FS{}, ErrUnknown, "found LUKS"},
		{"verity", make([]byte, imageSize), func(m []byte) { copy(m, "verity\x00\x00") }, FS{}, ErrUnknown, "found a dm-verity hash area"},
		{"squashfs, big-endian", make([]byte, imageSize), func(m []byte) { copy(m, "sqsh") }, FS{}, ErrUnknown, "found a big-endian squashfs"},
		{"ntfs", make([]byte, imageSize), func(m []byte) { copy(m, "\xeb\x52\x90NTFS    ") }, FS{}, ErrUnknown, "found ntfs"},
		{"exfat", make([]byte, imageSize), func(m []byte) { copy(m, "\xeb\x76\x90EXFAT   ") }, FS{}, ErrUnknown, "found exfat"},
		{"gpt", make([]byte, imageSize), func(m []byte) { copy(m[512:], "EFI PART") }, FS{}, ErrUnknown, "found a partition table"},
		{"f2fs", make([]byte, imageSize), func(m []byte) { copy(m[1024:], "\x10\x20\xf5\xf2") }, FS{}, ErrUnknown, "found f2fs"},
		{"btrfs", make([]byte, 70000), func(m []byte) { copy(m[65600:], "_BHRfS_M") }, FS{}, ErrUnknown, "found btrfs"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.lie != nil {
				tt.lie(tt.image)
			}
			got, err := Probe(bytes.NewReader(tt.image), int64(len(tt.image)))
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Fatalf("got %+v, %v, want error %v", got, err, tt.err)
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got error %q, want %q", err, tt.text)
			}
		})
	}
}

// TestCutOff gives every length of an image below what it says it has.
func TestCutOff(t *testing.T) {
	for _, m := range [][]byte{newEROFS(), newSquashFS(), newExt4(), newVFAT()} {
		full, err := Probe(bytes.NewReader(m), imageSize)
		if err != nil {
			t.Fatal(err)
		}
		for n := int64(-1); n < full.Size; n = n*9/8 + 1 {
			got, err := Probe(bytes.NewReader(m[:max(n, 0)]), n)
			if !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrCorrupt) {
				t.Errorf("%d of %d bytes: got %+v, %v", n, full.Size, got, err)
			}
		}
		if got, err := Probe(bytes.NewReader(m[:full.Size]), full.Size); err != nil || got != full {
			t.Errorf("%d of %d bytes: got %+v, %v", full.Size, full.Size, got, err)
		}
	}
}

type badReader struct{ err error }

func (r badReader) ReadAt([]byte, int64) (int, error) { return 0, r.err }

func TestReadError(t *testing.T) {
	for _, want := range []error{io.ErrUnexpectedEOF, os.ErrPermission} {
		if _, err := Probe(badReader{want}, 4096); !errors.Is(err, want) || errors.Is(err, ErrUnknown) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	if _, err := Probe(bytes.NewReader(make([]byte, 100)), 4096); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("reader too short: got %v", err)
	}
}

// TestTools probes what the real tools make, and compares with blkid.
func TestTools(t *testing.T) {
	src := t.TempDir()
	if err := os.WriteFile(filepath.Join(src, "file"), bytes.Repeat([]byte("content "), 9999), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, pkg string
		size      int64 // of the file beforehand
		args      []string
		want      FS
	}{
		{"erofs", "erofs-utils", 0, []string{"mkfs.erofs", "-U" + testUUID, "IMAGE", src}, FS{Type: EROFS, BlockSize: 4096}},
		{"erofs, compressed", "erofs-utils", 0, []string{"mkfs.erofs", "-zlz4hc", "-U" + testUUID, "IMAGE", src}, FS{Type: EROFS, BlockSize: 4096}},
		{"squashfs", "squashfs-tools", 0, []string{"mksquashfs", src, "IMAGE", "-noappend", "-quiet", "-b", "64K"}, FS{Type: SquashFS, BlockSize: 65536}},
		{"ext4", "e2fsprogs", 8 << 20, []string{"mke2fs", "-q", "-t", "ext4", "-b", "4096", "-U", testUUID, "IMAGE"}, FS{Type: Ext4, BlockSize: 4096, Size: 8 << 20}},
		{"ext4, smaller than its file", "e2fsprogs", 8 << 20, []string{"mke2fs", "-q", "-t", "ext4", "-b", "1024", "-U", testUUID, "IMAGE", "5000"}, FS{Type: Ext4, BlockSize: 1024, Size: 5000 << 10}},
		{"ext2", "e2fsprogs", 4 << 20, []string{"mke2fs", "-q", "-t", "ext2", "-b", "1024", "-U", testUUID, "IMAGE"}, FS{Type: Ext4, BlockSize: 1024, Size: 4 << 20}},
		{"vfat, FAT12", "dosfstools", 2 << 20, []string{"mkfs.vfat", "IMAGE"}, FS{Type: VFAT, BlockSize: 512, Size: 2 << 20}},
		{"vfat, FAT32", "dosfstools", 64 << 20, []string{"mkfs.vfat", "-F", "32", "IMAGE"}, FS{Type: VFAT, BlockSize: 512, Size: 64 << 20}},
		{"vfat, FAT32 on 4 KiB sectors", "dosfstools", 300 << 20, []string{"mkfs.vfat", "-F", "32", "-S", "4096", "IMAGE"}, FS{Type: VFAT, BlockSize: 4096, Size: 300 << 20}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "image")
			if tt.size != 0 {
				if err := os.WriteFile(image, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(image, tt.size); err != nil {
					t.Fatal(err)
				}
			}
			args := append([]string{tool(t, tt.args[0], tt.pkg)}, tt.args[1:]...)
			for i := range args {
				if args[i] == "IMAGE" {
					args[i] = image
				}
			}
			if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", args, err, out)
			}
			f, err := os.Open(image)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			got, err := Probe(f, info.Size())
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want
			if want.Type == EROFS || want.Type == Ext4 {
				want.UUID = guid.MustParse(testUUID)
			}
			if want.Size == 0 { // the tool decided
				want.Size = got.Size
				if got.Size <= 0 || got.Size > info.Size() || info.Size()-got.Size >= 4096 {
					t.Errorf("size is %d in a file of %d bytes", got.Size, info.Size())
				}
			}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			compareBlkid(t, image, got)
		})
	}
}

func compareBlkid(t *testing.T, image string, got FS) {
	t.Helper()
	out, err := exec.Command(tool(t, "blkid", "util-linux"), "-p", "-o", "export", image).Output()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(out)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[k] = v
	}
	typ := values["TYPE"]
	if typ == "ext2" {
		typ = Ext4
	}
	if typ != got.Type || !got.UUID.IsZero() && values["UUID"] != got.UUID.String() {
		t.Errorf("got %+v, blkid says %v", got, values)
	}
}

func tool(t *testing.T, name, pkg string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if p, err := exec.LookPath(dir + name); err == nil {
			return p
		}
	}
	t.Skipf("needs %s (Debian package %s)", name, pkg)
	return ""
}

func FuzzProbe(f *testing.F) {
	for _, m := range [][]byte{newEROFS(), newSquashFS(), newExt4(), newVFAT(), {}} {
		f.Add(m[:min(len(m), headSize)], int64(imageSize))
	}
	f.Fuzz(func(t *testing.T, head []byte, size int64) {
		if len(head) > headSize {
			head = head[:headSize]
		}
		got, err := Probe(padded(head), size)
		if err != nil {
			if got != (FS{}) {
				t.Fatalf("got %+v together with error %v", got, err)
			}
			if !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrAmbiguous) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error without sentinel: %v", err)
			}
			return
		}
		if got.Size <= 0 || got.Size > size || got.BlockSize < 512 || got.BlockSize > 1<<20 || got.BlockSize&(got.BlockSize-1) != 0 {
			t.Fatalf("got %+v in %d bytes", got, size)
		}
		if got.Type == SquashFS || got.Type == VFAT {
			if !got.UUID.IsZero() {
				t.Fatalf("got a UUID: %+v", got)
			}
		} else if got.Size%got.BlockSize != 0 {
			t.Fatalf("size is not in blocks: %+v", got)
		}
	})
}

// padded is followed by zeros without end.
type padded []byte

func (m padded) ReadAt(b []byte, off int64) (int, error) {
	clear(b)
	if off < int64(len(m)) {
		copy(b, m[off:])
	}
	return len(b), nil
}
