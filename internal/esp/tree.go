// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package esp

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// maxName is the longest name of one file or directory, in UTF-16 units.
	maxName = 255
	// maxPath keeps paths usable everywhere: firmware and Windows take 260 with the drive's letter.
	maxPath = 250
)

// tree is what the files need of a FAT, and the directories to make, parents first.
type tree struct {
	files []file
	dirs  []string
	slots map[string]int // 32-byte directory entries by directory; "" is the root
}

type file struct {
	*File
	size int64
}

// newTree checks paths, sources and their sizes.
func newTree(files []File) (*tree, error) {
	t := &tree{slots: map[string]int{"": 1}} // the label
	kinds := make(map[string]bool)           // by folded path: is it a directory
	for i := range files {
		f := &files[i]
		names, err := splitPath(f.Path)
		if err != nil {
			return nil, fmt.Errorf("cannot place file: %w", err)
		}
		size, err := contentSize(f.Source, f.Data)
		if err != nil {
			return nil, fmt.Errorf("cannot place file %q: %w", f.Path, err)
		}
		if size > MaxFile {
			return nil, fmt.Errorf("cannot place file %q of %d bytes: %w (limit %d, 4 GiB less one byte)", f.Path, size, ErrFileTooLarge, int64(MaxFile))
		}
		if f.Fragments < 0 {
			return nil, fmt.Errorf("cannot place file %q: %w: %d fragments", f.Path, ErrOptions, f.Fragments)
		}
		for k := range names {
			parent, path, last := strings.Join(names[:k], "/"), strings.Join(names[:k+1], "/"), k == len(names)-1
			isDir, known := kinds[fold(path)]
			if known && (last || !isDir) {
				return nil, fmt.Errorf("cannot place file %q: %w: %q is there already (FAT ignores case)", f.Path, ErrOptions, path)
			}
			if known {
				continue
			}
			kinds[fold(path)] = !last
			// One entry for the short name, and one for every 13 units of the long one.
			t.slots[fold(parent)] += 1 + (len(utf16.Encode([]rune(names[k])))+12)/13
			if !last {
				t.dirs = append(t.dirs, path)
				t.slots[fold(path)] += 2 // . and ..
			}
		}
		t.files = append(t.files, file{f, size})
	}
	return t, nil
}

// fold makes equal what FAT takes for equal.
func fold(s string) string { return strings.ToUpper(s) }

// splitPath checks a path on the ESP. Beside what FAT forbids, it refuses what mtools takes for a pattern, and a dot or
// space at the end of a name, which Windows and mtools drop.
func splitPath(path string) ([]string, error) {
	bad := func(why string) ([]string, error) { return nil, fmt.Errorf("%w: path %q: %s", ErrOptions, path, why) }
	names := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if !utf8.ValidString(path) || len(utf16.Encode([]rune(path))) > maxPath {
		return bad(fmt.Sprintf("not UTF-8, or longer than %d characters", maxPath))
	}
	for _, n := range names {
		switch {
		case n == "" || n == "." || n == "..":
			return bad("empty, . or .. in it")
		case len(utf16.Encode([]rune(n))) > maxName:
			return bad(fmt.Sprintf("a name is longer than %d characters", maxName))
		case strings.ContainsFunc(n, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`"*:<>?\|[]`, r) }):
			return bad(`one of "*:<>?\|[] or a control character in it`)
		case strings.HasSuffix(n, ".") || strings.HasSuffix(n, " ") || strings.HasPrefix(n, " "):
			return bad("a name begins with a space, or ends with a space or dot")
		}
	}
	return names, nil
}

// clusters returns how many clusters of the given size the tree takes. The root directory counts where it is made of
// clusters (FAT32).
func (t *tree) clusters(size int64, withRoot bool) int64 {
	n := int64(0)
	for _, f := range t.files {
		n += (f.size + size - 1) / size
	}
	for dir, slots := range t.slots {
		if dir != "" || withRoot {
			n += max((int64(slots)*32+size-1)/size, 1)
		}
	}
	return n
}

// sortedDirs returns the directories so that parents come before their children.
func (t *tree) sortedDirs() []string {
	dirs := slices.Clone(t.dirs)
	slices.SortStableFunc(dirs, func(a, b string) int { return strings.Count(a, "/") - strings.Count(b, "/") })
	return dirs
}

// estimate says how large an ESP should be for the tree: what it needs with the cluster size that is likely, an eighth
// more and at least 1 MiB to work with, and what the type of FAT demands at least.
func (o *Options) estimate(t *tree) int64 {
	cluster := o.ClusterSize
	if cluster == 0 {
		cluster = max(o.SectorSize, 16<<10) // mkfs.vfat takes more only for FAT16 above 1 GiB
	}
	n := t.clusters(cluster, true) * cluster
	n += n/8 + Align
	if o.FATType == 32 {
		if o.ClusterSize == 0 {
			cluster = o.SectorSize
		}
		// Both tables and the reserved sectors come to the clusters.
		n = max(n, (minClusters32+64)*(cluster+8)+64*o.SectorSize)
	}
	if o.FATType == 16 {
		if o.ClusterSize == 0 {
			cluster = o.SectorSize
		}
		n = max(n, 2*minClusters16*cluster)
	}
	return n
}
