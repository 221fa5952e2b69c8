// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package capture

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"

	"github.com/initddi/initddi/internal/program"
)

// tree is what goes into an archive, by path.
type tree map[string]node

// node is a file with its content, a directory, a symbolic link, or a sparse file, which has a size and some of its bytes.
type node struct {
	dir    bool
	data   []byte
	target string // of a symbolic link
	size   int64  // of a sparse file
	parts  []part
}

// part is a run of bytes of a sparse file.
type part struct {
	offset int64
	data   []byte
}

// write writes the archive.
func (t tree) write(out io.Writer) error {
	dirs := map[string]bool{}
	for name, n := range t {
		if n.dir {
			dirs[name] = true
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			dirs[dir] = true
		}
	}
	names := slices.Collect(maps.Keys(dirs))
	for name, n := range t {
		if n.dir {
			continue
		}
		if dirs[name] {
			return fmt.Errorf("cannot write the archive: %s is a directory and something else", name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	w := tar.NewWriter(out)
	for _, name := range names {
		n := t[name]
		var err error
		switch {
		case dirs[name]:
			err = w.WriteHeader(&tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: 0o755})
		case n.target != "":
			err = w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: n.target, Mode: 0o777})
		case n.size > 0:
			if err = w.Flush(); err == nil {
				_, err = out.Write(sparse(name, n))
			}
		default:
			err = w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(n.data))})
			if err == nil {
				_, err = w.Write(n.data)
			}
		}
		if err != nil {
			return fmt.Errorf("cannot write %s to the archive: %w", name, err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("cannot finish the archive: %w", err)
	}
	return nil
}

const blockSize = 512 // of a tar archive

// sparse returns a sparse file as it stands in an archive, which archive/tar reads and does not write: a pax header that says so, and a
// file of the map, in decimal lines, and the data.
func sparse(name string, n node) []byte {
	parts := merge(n.parts)
	// A file that ends in a hole has an empty part at its end.
	text := strconv.Itoa(len(parts)+1) + "\n"
	var data []byte
	for _, p := range append(parts, part{offset: n.size}) {
		text += strconv.FormatInt(p.offset, 10) + "\n" + strconv.Itoa(len(p.data)) + "\n"
		data = append(data, p.data...)
	}
	content := append(pad([]byte(text)), data...)
	var pax []byte
	for _, r := range [][2]string{
		{"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"}, {"GNU.sparse.name", name}, {"GNU.sparse.realsize", strconv.FormatInt(n.size, 10)},
	} {
		pax = append(pax, record(r[0], r[1])...)
	}
	out := header(path.Dir(name)+"/PaxHeaders/"+path.Base(name), 'x', len(pax))
	out = append(out, pad(pax)...)
	out = append(out, header(path.Dir(name)+"/GNUSparseFile.0/"+path.Base(name), '0', len(content))...)
	return append(out, pad(content)...)
}

// merge sorts the parts and joins those that touch or overlap; of two that overlap the one that begins later has what both have.
func merge(parts []part) []part {
	parts = slices.Clone(parts)
	slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(a.offset, b.offset) })
	var out []part
	for _, p := range parts {
		if len(p.data) == 0 {
			continue
		}
		if last := len(out) - 1; last >= 0 && p.offset <= out[last].offset+int64(len(out[last].data)) {
			at := int(p.offset - out[last].offset)
			both := bytes.Clone(out[last].data)
			if more := at + len(p.data) - len(both); more > 0 {
				both = append(both, make([]byte, more)...)
			}
			copy(both[at:], p.data)
			out[last].data = both
			continue
		}
		out = append(out, p)
	}
	return out
}

// record returns a record of a pax header: its length in decimal, which counts itself, and "KEY=VALUE".
func record(key, value string) string {
	rest := " " + key + "=" + value + "\n"
	n := len(rest) + 1
	for len(strconv.Itoa(n))+len(rest) > n {
		n++
	}
	return strconv.Itoa(n) + rest
}

// header returns a ustar header (POSIX pax, "ustar Interchange Format").
func header(name string, kind byte, size int) []byte {
	b := make([]byte, blockSize)
	copy(b, name)
	copy(b[100:], "0000644\x000000000\x000000000\x00")
	copy(b[124:], fmt.Sprintf("%011o\x0000000000000\x00", size))
	copy(b[148:], "        ") // the checksum is computed with spaces in its place
	b[156] = kind
	copy(b[257:], "ustar\x0000")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

func pad(b []byte) []byte {
	return append(b, make([]byte, -len(b)&(blockSize-1))...)
}

// Open returns the root directory of a captured machine, or of this one: a directory as it is, an archive unpacked into one that
// cleanup removes. It needs GNU tar for that; the error wraps [program.ErrMissing] where it is missing.
func Open(ctx context.Context, place string) (dir string, cleanup func(), err error) {
	info, err := os.Stat(place)
	if err != nil {
		return "", nil, fmt.Errorf("cannot open the machine: %w", err)
	}
	if info.IsDir() {
		return place, func() {}, nil
	}
	tool, err := program.Find("tar", "tar")
	if err != nil {
		return "", nil, err
	}
	dir, err = os.MkdirTemp("", "initddi-machine-")
	if err != nil {
		return "", nil, fmt.Errorf("cannot unpack the machine: %w", err)
	}
	cleanup = func() { os.RemoveAll(dir) }
	out, err := exec.CommandContext(ctx, tool, "--extract", "--no-same-owner", "--file", place, "--directory", dir).CombinedOutput()
	if err != nil {
		cleanup()
		return "", nil, fmt.Errorf("cannot unpack the machine in %s: %w: %s", place, err, bytes.TrimSpace(out))
	}
	return dir, cleanup, nil
}
