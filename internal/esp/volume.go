// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package esp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/initddi/initddi/internal/program"
)

const (
	// minClusters16 and minClusters32 are how many clusters make a FAT a FAT16 and a FAT32 (fatgen103). Firmware goes by the
	// count alone; mkfs.vfat -F only warns.
	minClusters16 = 4085
	minClusters32 = 65525
)

// toolset holds the paths of the programs.
type toolset struct{ mkfs, mmd, mcopy, mattrib string }

func findTools() (toolset, error) {
	var t toolset
	for _, x := range []struct {
		path         *string
		name, debian string
	}{
		{&t.mkfs, "mkfs.vfat", "dosfstools"}, {&t.mmd, "mmd", "mtools"}, {&t.mcopy, "mcopy", "mtools"}, {&t.mattrib, "mattrib", "mtools"},
	} {
		var err error
		if *x.path, err = program.Find(x.name, x.debian); err != nil {
			return t, err
		}
	}
	return t, nil
}

// volume is the ESP's file system while it is being made.
type volume struct {
	tools        toolset
	dir          string // for temporary files
	disk         *os.File
	o            *Options
	tree         *tree
	offset, size int64 // of the partition
}

func (v *volume) make(ctx context.Context) error {
	// mkfs.vfat would say that too, but not with numbers.
	cluster := max(v.o.ClusterSize, v.o.SectorSize)
	if err := v.checkType(cluster, v.size/cluster); err != nil {
		return err
	}
	if err := v.format(ctx); err != nil {
		return err
	}
	g, err := readGeometry(v.disk, v.offset)
	if err != nil {
		return err
	}
	if err := v.check(g); err != nil {
		return err
	}
	for _, dir := range v.tree.sortedDirs() {
		if err := v.mtool(ctx, v.tools.mmd, "::/"+dir); err != nil {
			return fmt.Errorf("cannot make directory %q: %w", dir, err)
		}
	}
	for i, f := range v.tree.files {
		if err := v.copyIn(ctx, i, f); err != nil {
			return fmt.Errorf("cannot place file %q: %w", f.Path, err)
		}
	}
	for _, f := range v.tree.files {
		if f.Fragments > 1 {
			if err := g.fragment(v.disk, v.offset, v.size, f); err != nil {
				return fmt.Errorf("cannot place file %q: %w", f.Path, err)
			}
		}
	}
	return nil
}

// format runs mkfs.vfat on the partition's range of the disk.
func (v *volume) format(ctx context.Context) error {
	start := strconv.FormatInt(v.offset/v.o.SectorSize, 10)
	// --invariant first: it brings a volume id of its own.
	args := []string{"--invariant", "--mbr=n", "-S", strconv.FormatInt(v.o.SectorSize, 10), "--offset=" + start, "-h", start,
		"-i", fmt.Sprintf("%08x", v.o.VolumeID)}
	if v.o.FATType != 0 {
		args = append(args, "-F", strconv.Itoa(v.o.FATType))
	}
	if n := v.o.ClusterSize / v.o.SectorSize; n != 0 {
		args = append(args, "-s", strconv.FormatInt(n, 10))
	} else if v.o.FATType == 16 && v.size < 5*minClusters16*v.o.SectorSize {
		// mkfs.vfat begins at four sectors and only goes up, although smaller clusters would make it a FAT16.
		args = append(args, "-s", "1")
	}
	if v.o.Label != "" {
		args = append(args, "-n", v.o.Label)
	}
	return v.run(ctx, v.tools.mkfs, append(args, v.disk.Name(), strconv.FormatInt(v.size/1024, 10))...)
}

// check compares what the files need with what the file system has.
func (v *volume) check(g *geometry) error {
	if err := v.checkType(g.cluster, g.clusters); err != nil {
		return err
	}
	need := v.tree.clusters(g.cluster, g.kind == 32)
	if need > g.clusters {
		return fmt.Errorf("ESP: %w: its files need %d bytes, it has room for %d (%d bytes given, clusters of %d)",
			ErrTooSmall, need*g.cluster, g.clusters*g.cluster, v.size, g.cluster)
	}
	if slots := v.tree.slots[""]; g.kind != 32 && slots > g.rootEntries {
		return fmt.Errorf("ESP: %w: the root directory needs %d entries, FAT%d gives it %d; use a subdirectory or FAT32",
			ErrTooSmall, slots, g.kind, g.rootEntries)
	}
	return nil
}

// checkType refuses a type of FAT that the number of clusters contradicts.
func (v *volume) checkType(cluster, clusters int64) error {
	least := int64(0)
	switch v.o.FATType {
	case 16:
		least = minClusters16
	case 32:
		least = minClusters32
	}
	if clusters < least {
		return fmt.Errorf("ESP: %w: FAT%d has at least %d clusters, of %d bytes here; %d bytes given, which are %d",
			ErrTooSmall, v.o.FATType, least, cluster, v.size, clusters)
	}
	return nil
}

func (v *volume) copyIn(ctx context.Context, i int, f file) error {
	source := f.Source
	if source == "" {
		source = filepath.Join(v.dir, "data"+strconv.Itoa(i))
		if err := os.WriteFile(source, f.Data, 0o600); err != nil {
			return err
		}
		defer os.Remove(source)
	}
	source, err := filepath.Abs(source)
	if err != nil {
		return err
	}
	if err := v.mtool(ctx, v.tools.mcopy, "-Q", source, "::/"+trimSlash(f.Path)); err != nil {
		return err
	}
	if f.ReadOnly {
		return v.mtool(ctx, v.tools.mattrib, "+r", "::/"+trimSlash(f.Path))
	}
	return nil
}

func trimSlash(p string) string {
	if p[0] == '/' {
		return p[1:]
	}
	return p
}

func (v *volume) mtool(ctx context.Context, tool string, args ...string) error {
	return v.run(ctx, tool, append([]string{"-i", v.disk.Name() + "@@" + strconv.FormatInt(v.offset, 10)}, args...)...)
}

// run runs a tool with nothing of the caller's environment that could change the result.
func (v *volume) run(ctx context.Context, tool string, args ...string) error {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Env = []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + v.dir, "MTOOLSRC=/dev/null", "LC_ALL=C.UTF-8",
		"TZ=UTC", "SOURCE_DATE_EPOCH=" + strconv.FormatInt(v.o.Time.Unix(), 10),
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("%s: %w: %s", filepath.Base(tool), err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}

// geometry is what a fresh file system says of itself, in bytes and clusters.
type geometry struct {
	kind              int // 12, 16, 32
	cluster           int64
	clusters          int64
	fatStart, fatSize int64 // of the first table, relative to the partition
	fats              int64
	rootStart         int64 // FAT12, FAT16
	rootEntries       int
	rootCluster       uint32 // FAT32
	data              int64  // where cluster 2 is
}

var errBootSector = errors.New("mkfs.vfat wrote a boot sector that cannot be")

// readGeometry reads the boot sector that mkfs.vfat has just written; it is trusted, but for divisions by zero.
func readGeometry(disk *os.File, offset int64) (*geometry, error) {
	b := make([]byte, 512)
	if _, err := disk.ReadAt(b, offset); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	sector, reserved := int64(le.Uint16(b[11:])), int64(le.Uint16(b[14:]))
	g := &geometry{cluster: int64(b[13]) * sector, fats: int64(b[16]), rootEntries: int(le.Uint16(b[17:]))}
	total, fat := int64(le.Uint16(b[19:])), int64(le.Uint16(b[22:]))
	if total == 0 {
		total = int64(le.Uint32(b[32:]))
	}
	if fat == 0 {
		fat = int64(le.Uint32(b[36:]))
		g.kind, g.rootCluster = 32, le.Uint32(b[44:])
	}
	if g.cluster == 0 || b[510] != 0x55 || b[511] != 0xaa || g.fats == 0 || fat == 0 {
		return nil, errBootSector
	}
	g.fatStart, g.fatSize = reserved*sector, fat*sector
	g.rootStart = g.fatStart + g.fats*g.fatSize
	g.data = roundUp(g.rootStart+int64(g.rootEntries)*32, sector)
	g.clusters = (total*sector - g.data) / g.cluster
	if g.kind == 0 {
		g.kind = 16
		if g.clusters < minClusters16 {
			g.kind = 12
		}
	}
	return g, nil
}
