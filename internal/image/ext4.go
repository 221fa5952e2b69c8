// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/initddi/initddi/internal/guid"
)

// makeExt4 makes an ext4 file system without a journal: it is never written to. mke2fs sorts a directory's names as the locale does.
func makeExt4(ctx context.Context, tree, out string, uuid guid.GUID, stamp int64) error {
	var size int64
	files := 0
	err := filepath.WalkDir(tree, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		size += (info.Size()+4095)&^4095 + 4096
		files++
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot measure the tree: %w", err)
	}
	size = (size + size/8 + 16<<20) &^ (1<<20 - 1)
	f, err := os.Create(out)
	if err != nil {
		return fmt.Errorf("cannot make ext4: %w", err)
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return fmt.Errorf("cannot make ext4: %w", err)
	}
	// E2fsprogs takes 0 for "now".
	stamp = max(stamp, 1)
	// One inode for each file, and enough for those that every file system has.
	cmd := exec.CommandContext(ctx, "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-N", strconv.Itoa(files+64), "-O", "^has_journal,^metadata_csum_seed", "-m", "0",
		"-U", uuid.String(), "-E", "hash_seed="+uuid.String(), "-d", tree, out)
	cmd.Env = fakeTime(stamp)
	if err := runTool("e2fsprogs", cmd); err != nil {
		return err
	}
	return setTimes(ctx, out, files, stamp)
}

// fakeTime is an environment in which the tools make the same of the same.
func fakeTime(stamp int64) []string {
	return append(os.Environ(), "LC_ALL=C", "E2FSPROGS_FAKE_TIME="+strconv.FormatInt(stamp, 10))
}

// setTimes sets the times of every inode. Before version 1.47.1 mke2fs copies those of the source, the time of the last
// access among them, which changes when the tree is read. It hands inodes out in their order, from 11 on.
func setTimes(ctx context.Context, name string, files int, stamp int64) error {
	const root, first = 2, 11
	var script bytes.Buffer
	for i := root; i <= first+files; i++ {
		if i > root && i < first {
			continue
		}
		for _, field := range []string{"atime", "ctime", "mtime", "crtime"} {
			fmt.Fprintf(&script, "set_inode_field <%d> %s @%d\n", i, field, stamp)
		}
	}
	cmd := exec.CommandContext(ctx, "debugfs", "-w", "-f", "-", name)
	cmd.Env, cmd.Stdin = fakeTime(stamp), &script
	return runTool("e2fsprogs", cmd)
}
