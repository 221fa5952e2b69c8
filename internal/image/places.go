// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package image

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/initddi/initddi/internal/gpt"
)

// check finds what is wrong with sector size, source and output before anything is made, and returns warnings. A source that cannot be read
// is left to who reads it.
func check(o Options) ([]string, error) {
	if s := o.SectorSize; s != 0 && s != 512 && s != 4096 {
		return nil, fmt.Errorf("cannot build %s with sectors of %d bytes: only 512 and 4096: %w", o.Output, s, gpt.ErrInvalid)
	}
	if err := Replaceable(o.Output); err != nil {
		return nil, err
	}
	info, err := os.Stat(o.Source)
	if err != nil {
		return nil, nil
	}
	if !info.IsDir() {
		if !mayChown() {
			return nil, fmt.Errorf("cannot make an image of the archive %s as user %d: %w, and all would be this user's: "+
				"run it as root, or as root of a user namespace: unshare --map-auto --map-root-user initddi ddi …", o.Source, os.Geteuid(), ErrOwners)
		}
		return nil, nil
	}
	tree := o.Source
	if o.Usr {
		tree = filepath.Join(tree, "usr")
	}
	if inside(tree, filepath.Dir(o.Output)) {
		return nil, fmt.Errorf("cannot write %s: it lies in the tree %s: %w", o.Output, tree, ErrInside)
	}
	// A directory's files belong to whom they belong. A tree that was unpacked by somebody who is not root belongs to them altogether,
	// which shows in its uppermost directory.
	if st, ok := info.Sys().(*syscall.Stat_t); ok && !mayChown() && int(st.Uid) == os.Geteuid() {
		return []string{fmt.Sprintf("%s belongs to user %d, and so will / in the image: owners are taken as they are on disk", o.Source, st.Uid)}, nil
	}
	return nil, nil
}

// mayChown is whether the tools that are run can give files to other users: they run as root, be it of a user namespace, or believe so
// because fakeroot stands around this program. It reaches them, but not a program without libc.
func mayChown() bool { return os.Geteuid() == 0 || os.Getenv("FAKEROOTKEY") != "" }

// inside is whether the directory dir is tree or lies below it, wherever symbolic links lead.
func inside(tree, dir string) bool {
	for _, p := range []*string{&tree, &dir} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return false
		}
		if *p, err = filepath.EvalSymlinks(abs); err != nil {
			return false
		}
	}
	rel, err := filepath.Rel(tree, dir)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// Replaceable is whether an image may take the place of what is at name. The error wraps [ErrReadOnly] for a regular file whose mode lets
// nobody write it: sysupdate gives that mode to images (FAT keeps it as the read-only attribute), and a system that runs from one reads
// its blocks where they are. Root could write it nevertheless, so nothing else would stop root.
func Replaceable(name string) error {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o222 != 0 {
		return nil
	}
	return fmt.Errorf("cannot replace %s: %w: \"chmod u+w\" first if nothing uses it", name, ErrReadOnly)
}
