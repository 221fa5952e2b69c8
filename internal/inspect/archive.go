// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package inspect

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/initddi/initddi/internal/initramfs"
)

// Bounds of an archive. A stage 1 has 10 MB in a hundred files, a distribution's initramfs a few hundred MB in some thousands.
const (
	maxArchive  = 2 << 30 // bytes after decompression, all archives together
	maxWindow   = 128 << 20
	maxRecords  = 1 << 18
	maxName     = 4096
	maxContents = 4 << 20  // of one file that is kept
	maxProgram  = 64 << 20 // of one that says by which tags it was built
	maxMembers  = 64       // archives behind each other
)

var errArchive = errors.New("not a valid archive")

// Compression of an archive, by the kernel's names.
type Compression string

const (
	compressNone Compression = "none"
	compressZstd Compression = "zstd"
	compressXZ   Compression = "xz"
	compressGzip Compression = "gzip"
)

// compressionOf returns how an archive that begins with b is compressed, empty if b begins none.
func compressionOf(b []byte) Compression {
	for _, m := range []struct {
		magic string
		c     Compression
	}{{"070701", compressNone}, {"070702", compressNone}, {"\x28\xb5\x2f\xfd", compressZstd}, {"\xfd7zXZ\x00", compressXZ}, {"\x1f\x8b", compressGzip}} {
		if bytes.HasPrefix(b, []byte(m.magic)) {
			return m.c
		}
	}
	return ""
}

// Member is one of the archives that an initramfs is put together from, as the kernel unpacks them behind each other.
type Member struct {
	Compression Compression `json:"compression"`
	Size        int64       `json:"size"`          // in the file, in bytes
	Unpacked    int64       `json:"unpacked_size"` // the archive itself
}

// record is a file in an archive.
type record struct {
	name string
	mode uint32
	size int64
	data []byte // a regular file of at most maxContents bytes, or maxProgram of a command, or a symlink's target
}

// room is how much of the record's content is kept.
func (r record) room() int64 {
	if path.Dir(path.Clean("/"+r.name)) == "/"+initramfs.CommandDir && r.isRegular() {
		return maxProgram
	}
	return maxContents
}

func (r record) isRegular() bool { return r.mode&0o170000 == 0o100000 }
func (r record) isSymlink() bool { return r.mode&0o170000 == 0o120000 }
func (r record) isDir() bool     { return r.mode&0o170000 == 0o040000 }

// readArchives reads all archives of an initramfs and calls add for every record. With an error, it returns those before.
func (s source) readArchives(add func(record)) ([]Member, error) {
	var members []Member
	var at, total int64
	for at < s.size {
		b := make([]byte, min(8, s.size-at))
		if _, err := s.r.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
			return members, err
		}
		if b[0] == 0 { // padding between archives
			at++
			continue
		}
		c := compressionOf(b)
		if c == "" {
			return members, fmt.Errorf("byte %d begins no archive: %w", at, errArchive)
		}
		if len(members) == maxMembers {
			return members, fmt.Errorf("more than %d archives: %w", maxMembers, errArchive)
		}
		used, unpacked, err := s.readArchive(c, at, maxArchive-total, add)
		if err != nil {
			return members, fmt.Errorf("the %s archive at byte %d: %w", c, at, err)
		}
		members = append(members, Member{c, used, unpacked})
		at += used
		total += unpacked
	}
	return members, nil
}

// readArchive reads the one archive at byte at, and returns its length in the file and after decompression, which is at most room.
func (s source) readArchive(c Compression, at, room int64, add func(record)) (used, unpacked int64, err error) {
	in := &counter{r: bufio.NewReaderSize(io.NewSectionReader(s.r, at, s.size-at), 1<<16)}
	var r io.Reader = in
	switch c {
	case compressZstd:
		// The decoder reads ahead, so the length is found first.
		if used, err = zstdLength(s.r, at, s.size); err != nil {
			return 0, 0, err
		}
		d, err := zstd.NewReader(io.NewSectionReader(s.r, at, used), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return 0, 0, err
		}
		defer d.Close()
		r = d
	case compressXZ:
		// The decoder wants the stream to be all there is.
		if used, err = xzLength(s.r, at, s.size); err != nil {
			return 0, 0, err
		}
		in.r.Reset(io.NewSectionReader(s.r, at, used))
		if r, err = (xz.ReaderConfig{DictCap: maxWindow, SingleStream: true}).NewReader(in); err != nil {
			return 0, 0, err
		}
	case compressGzip:
		z, err := gzip.NewReader(in)
		if err != nil {
			return 0, 0, err
		}
		z.Multistream(false)
		r = z
	}
	out := &counter{r: bufio.NewReaderSize(io.LimitReader(r, room), 1<<16), total: func(n int64) { s.o.Progress("unpacking "+s.name, n, 0) }}
	if err := readNewc(out, add); err != nil {
		return 0, 0, err
	}
	if c != compressNone {
		// Behind the trailer there is padding, and the decompressor's own end.
		if _, err := io.Copy(io.Discard, out); err != nil {
			return 0, 0, err
		}
	}
	switch c {
	case compressNone:
		used = out.n
	case compressGzip:
		used = in.n
	}
	return used, out.n, nil
}

// readNewc reads one archive in the kernel's "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst) up to
// and with its trailer.
func readNewc(r *counter, add func(record)) error {
	for range maxRecords {
		var h [110]byte
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return fmt.Errorf("no trailer: %w: %w", errArchive, err)
		}
		if m := string(h[:6]); m != "070701" && m != "070702" {
			return fmt.Errorf("no header at byte %d: %w", r.n-110, errArchive)
		}
		field := func(i int) (int64, error) {
			n, err := strconv.ParseUint(string(h[6+8*i:14+8*i]), 16, 32)
			return int64(n), err
		}
		mode, err1 := field(1)
		size, err2 := field(6)
		nameSize, err3 := field(11)
		if err := errors.Join(err1, err2, err3); err != nil || nameSize < 1 || nameSize > maxName {
			return fmt.Errorf("no valid header at byte %d: %w", r.n-110, errArchive)
		}
		name := make([]byte, nameSize)
		if _, err := io.ReadFull(r, name); err != nil {
			return fmt.Errorf("cut off: %w: %w", errArchive, err)
		}
		rec := record{name: string(bytes.TrimRight(name, "\x00")), mode: uint32(mode), size: size}
		if err := r.align(); err != nil {
			return err
		}
		if size <= rec.room() && (rec.isRegular() || rec.isSymlink()) {
			// It grows as the bytes come: the size is only what the archive says.
			var content bytes.Buffer
			if _, err := io.CopyN(&content, r, size); err != nil {
				return fmt.Errorf("cut off in %s: %w: %w", rec.name, errArchive, err)
			}
			rec.data = content.Bytes()
		} else if _, err := io.CopyN(io.Discard, r, size); err != nil {
			return fmt.Errorf("cut off in %s: %w: %w", rec.name, errArchive, err)
		}
		if err := r.align(); err != nil {
			return err
		}
		if rec.name == "TRAILER!!!" {
			return nil
		}
		add(rec)
	}
	return fmt.Errorf("more than %d files: %w", maxRecords, errArchive)
}

// counter counts the bytes that are read through it. It is an [io.ByteReader], so decompressors take no byte too much.
type counter struct {
	r     *bufio.Reader
	n     int64
	total func(int64)
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	if c.total != nil {
		c.total(c.n)
	}
	return n, err
}

func (c *counter) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// align skips to the next multiple of four; the end of the archive is as good.
func (c *counter) align() error {
	for c.n%4 != 0 {
		if _, err := c.ReadByte(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}
