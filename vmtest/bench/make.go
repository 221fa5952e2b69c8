// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/u-root/mkuimage/cpio"

	"github.com/initddi/initddi/internal/esp"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/image"
	"github.com/initddi/initddi/internal/initramfs"
	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/kmodules"
	"github.com/initddi/initddi/internal/verity"
)

// missingError says what has to be made first.
type missingError struct{ what, how string }

func (e *missingError) Error() string {
	return "missing: run ./" + e.how + " (it makes " + e.what + ")"
}

// workshop makes what the machines are made of, once a run.
type workshop struct {
	build, dir string
	say        func(string)

	markerFile string
	stages     map[string]string // class list -> archive
	images     map[int]*ddi
}

// ddi is an image and where it can be found.
type ddi struct {
	file, disk string
	partUUID   guid.GUID // of the ESP on the disk
	rootHash   string
}

// machine puts a row together.
func (w *workshop) machine(ctx context.Context, r row) (*machine, error) {
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make a place for the benchmark: %w", err)
	}
	m := &machine{}
	var err error
	if m.kernel, err = w.kernel(r.Kernel); err != nil {
		return nil, err
	}
	// The serial console is slow even in virtual time: the kernel's own lines go there at warning level and above only, the two
	// moments that are measured are on it because they are in the log, which the marker cannot lose.
	args := []string{"console=ttyS0", "panic=-1"}
	if !r.Tests {
		args = append(args, noTests)
	}
	if r.Stage1 == "" && !r.Mounted && r.Peer == "" {
		if m.initrd, err = w.markerArchive(ctx); err != nil {
			return nil, err
		}
	} else {
		img, err := w.image(ctx, r.Unused)
		if err != nil {
			return nil, err
		}
		switch {
		case r.Peer != "":
			m.disk = img.file
			if m.initrd, err = w.peer(r.Peer); err != nil {
				return nil, err
			}
			root, err := img.root()
			if err != nil {
				return nil, err
			}
			args = append(args, "root=PARTUUID="+root.String(), "rootfstype=erofs", "ro", "init=/sbin/init")
		case r.Mounted:
			m.disk = img.file
			table, err := img.dmTable()
			if err != nil {
				return nil, err
			}
			args = append(args, `dm-mod.create="`+table+`"`, "root=/dev/dm-0", "rootfstype=erofs", "ro", "init=/sbin/init")
		default:
			m.disk = img.disk
			if m.initrd, err = w.stage1(ctx, r.Stage1); err != nil {
				return nil, err
			}
			// Without EFI variables, stage 1 would wait to know that the ESP is the only one.
			args = append(args, "ddi.device=PARTUUID="+img.partUUID.String())
		}
	}
	if r.Copy {
		args = append(args, "ddi.attach=copy")
	}
	m.cmdline = strings.Join(args, " ")
	marker, err := os.Stat(w.markerFile)
	if err != nil {
		return nil, fmt.Errorf("cannot look at the marker: %w", err)
	}
	m.nextInit = marker.Size()
	if m.initrd != "" {
		info, err := os.Stat(m.initrd)
		if err != nil {
			return nil, fmt.Errorf("cannot look at the initramfs: %w", err)
		}
		m.initrdSize = info.Size()
	}
	return m, nil
}

func (w *workshop) kernel(name string) (string, error) {
	file, how := filepath.Join(w.build, "debian/boot/vmlinuz"), "just tree"
	if name == template {
		file, how = filepath.Join(w.build, "kernel/initddi/bzImage"), "just kernel"
	}
	if _, err := os.Stat(file); err != nil {
		return "", &missingError{file, how}
	}
	return file, nil
}

// peer returns the image of another generator, for the kernel that the rows boot.
func (w *workshop) peer(name string) (string, error) {
	dir := filepath.Join(w.build, "peers/initrds")
	theirs, err := os.ReadFile(filepath.Join(dir, "release"))
	ours, err2 := os.ReadFile(filepath.Join(w.build, "debian/boot/release"))
	if err != nil || err2 != nil || !bytes.Equal(theirs, ours) {
		return "", &missingError{fmt.Sprintf("%s, for Linux %s", name, bytes.TrimSpace(ours)), "just peers"}
	}
	return filepath.Join(dir, name), nil
}

// marker builds the next init.
func (w *workshop) marker(ctx context.Context) (string, error) {
	if w.markerFile != "" {
		return w.markerFile, nil
	}
	out := filepath.Join(w.dir, "marker")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w -buildid=", "-o", out, "github.com/initddi/initddi/vmtest/bench/marker")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if b, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build the marker: %w: %s", err, bytes.TrimSpace(b))
	}
	w.markerFile = out
	return out, nil
}

// markerArchive returns an initramfs with the marker as its only file.
func (w *workshop) markerArchive(ctx context.Context) (string, error) {
	marker, err := w.marker(ctx)
	if err != nil {
		return "", err
	}
	binary, err := os.ReadFile(marker)
	if err != nil {
		return "", fmt.Errorf("cannot read the marker: %w", err)
	}
	var empty bytes.Buffer
	if err := cpio.WriteTrailer(cpio.Newc.Writer(&empty)); err != nil {
		return "", fmt.Errorf("cannot make an empty archive: %w", err)
	}
	base := filepath.Join(w.dir, "empty.cpio")
	if err := os.WriteFile(base, empty.Bytes(), 0o644); err != nil {
		return "", fmt.Errorf("cannot make an empty archive: %w", err)
	}
	return w.archive(ctx, "marker.zst", initramfs.Options{Base: base, Files: []initramfs.File{{Name: "init", Data: binary, Mode: 0o755}}})
}

func (w *workshop) archive(ctx context.Context, name string, o initramfs.Options) (string, error) {
	img, err := initramfs.Build(ctx, o, w.say)
	if err != nil {
		return "", err
	}
	out := filepath.Join(w.dir, name)
	if err := os.WriteFile(out, img.Data, 0o644); err != nil {
		return "", fmt.Errorf("cannot write an initramfs: %w", err)
	}
	return out, nil
}

// stage1 builds a stage 1 "minimal" with the given driver classes.
func (w *workshop) stage1(ctx context.Context, classes string) (string, error) {
	if file := w.stages[classes]; file != "" {
		return file, nil
	}
	pair := keys.In(filepath.Join(w.build, "keys"), keys.Image)
	cert, err := os.ReadFile(pair.Cert)
	if err != nil {
		return "", &missingError{pair.Cert, "just demo"}
	}
	o := initramfs.Options{
		Template:     initramfs.Template{File: "templates/mkuimage.yaml", Config: "minimal"},
		Certificates: []initramfs.File{{Name: "ddi.crt", Data: cert}},
	}
	if classes != "none" {
		tree, err := kmodules.Open(filepath.Join(w.build, "debian/modules"), "")
		if err != nil {
			return "", &missingError{"the tree of modules", "just tree"}
		}
		o.Modules, err = kmodules.Select(tree, kmodules.Options{
			Classes: strings.Split(classes, ","), Features: []string{"loop", "dm", "verity", "erofs"}, OptionalFeatures: []string{"efivarfs"},
		})
		if err != nil {
			return "", err
		}
	}
	file, err := w.archive(ctx, "stage1-"+strings.ReplaceAll(classes, ",", "-")+".zst", o)
	if err == nil {
		if w.stages == nil {
			w.stages = map[string]string{}
		}
		w.stages[classes] = file
	}
	return file, err
}

// image makes a signed image with the marker as its init, and a disk with that image on its ESP.
func (w *workshop) image(ctx context.Context, unused int) (*ddi, error) {
	if img := w.images[unused]; img != nil {
		return img, nil
	}
	w.say(fmt.Sprintf("making an image with %d MiB that nobody reads", unused))
	tree, err := w.tree(ctx, unused)
	if err != nil {
		return nil, err
	}
	pair := keys.In(filepath.Join(w.build, "keys"), keys.Image)
	der, err := keys.CertificateDER(pair.Cert)
	if err != nil {
		return nil, &missingError{pair.Cert, "just demo"}
	}
	stem := filepath.Join(w.dir, fmt.Sprintf("image-%d", unused))
	img := &ddi{file: stem + ".raw", disk: stem + ".disk"}
	res, err := image.Build(ctx, image.Options{Source: tree, Output: img.file, Arch: "x86-64", Compress: "none", Signer: pair.Sign, Certificate: der})
	if err != nil {
		return nil, err
	}
	img.rootHash = res.RootHash
	table, err := esp.Build(ctx, img.disk, esp.Options{Files: []esp.File{{Path: "/loader/ddi/bench.raw", Source: img.file, ReadOnly: true}}})
	if err != nil {
		return nil, err
	}
	img.partUUID = table.Partitions[0].UUID
	if w.images == nil {
		w.images = map[int]*ddi{}
	}
	w.images[unused] = img
	return img, os.RemoveAll(tree)
}

func (w *workshop) tree(ctx context.Context, unused int) (string, error) {
	marker, err := w.marker(ctx)
	if err != nil {
		return "", err
	}
	tree := filepath.Join(w.dir, "tree")
	if err := os.RemoveAll(tree); err != nil {
		return "", fmt.Errorf("cannot make the image's tree: %w", err)
	}
	for _, dir := range []string{"dev", "proc", "sys", "run", "sbin", "etc", "usr"} {
		if err := os.MkdirAll(filepath.Join(tree, dir), 0o755); err != nil {
			return "", fmt.Errorf("cannot make the image's tree: %w", err)
		}
	}
	binary, err := os.ReadFile(marker)
	if err != nil {
		return "", fmt.Errorf("cannot read the marker: %w", err)
	}
	if err := os.WriteFile(filepath.Join(tree, "sbin/init"), binary, 0o755); err != nil {
		return "", fmt.Errorf("cannot make the image's tree: %w", err)
	}
	if err := os.WriteFile(filepath.Join(tree, "etc/os-release"), []byte("ID=bench\nVERSION_ID=1\n"), 0o644); err != nil {
		return "", fmt.Errorf("cannot make the image's tree: %w", err)
	}
	if unused == 0 {
		return tree, nil
	}
	f, err := os.Create(filepath.Join(tree, "usr/unused"))
	if err != nil {
		return "", fmt.Errorf("cannot make the image's tree: %w", err)
	}
	defer f.Close()
	// Always the same bytes, which do not compress and share no block.
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{1}), int64(unused)<<20); err != nil {
		return "", fmt.Errorf("cannot make the image's tree: %w", err)
	}
	return tree, f.Close()
}

// open opens the image and reads its partition table.
func (d *ddi) open() (*os.File, *gpt.Table, error) {
	f, err := os.Open(d.file)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the image: %w", err)
	}
	info, err := f.Stat()
	var table *gpt.Table
	if err == nil {
		table, err = gpt.Read(f, info.Size(), 512)
	}
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("cannot read the image: %w", err)
	}
	return f, table, nil
}

// root returns the UUID of the image's root partition.
func (d *ddi) root() (guid.GUID, error) {
	f, table, err := d.open()
	if err != nil {
		return guid.GUID{}, err
	}
	defer f.Close()
	for _, p := range table.Partitions {
		if what, _, _ := gpt.Lookup(p.Type); what == gpt.Root {
			return p.UUID, nil
		}
	}
	return guid.GUID{}, fmt.Errorf("cannot find the root in %s", d.file)
}

// dmTable returns the table with which the kernel makes the image's verity device by itself, if the image is its first disk.
func (d *ddi) dmTable() (string, error) {
	f, table, err := d.open()
	if err != nil {
		return "", err
	}
	defer f.Close()
	node := map[gpt.Designator]string{}
	var super []byte
	for _, p := range table.Partitions {
		what, _, _ := gpt.Lookup(p.Type)
		node[what] = fmt.Sprintf("/dev/vda%d", p.Number)
		if what == gpt.RootVerity {
			super = make([]byte, verity.SuperblockSize)
			if _, err := f.ReadAt(super, p.Offset(512)); err != nil {
				return "", fmt.Errorf("cannot read the image: %w", err)
			}
		}
	}
	sb, err := verity.ParseSuperblock(super)
	if err != nil {
		return "", err
	}
	hash, err := hex.DecodeString(d.rootHash)
	if err != nil {
		return "", fmt.Errorf("cannot read the root hash: %w", err)
	}
	t, err := sb.Table(node[gpt.Root], node[gpt.RootVerity], hash)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("bench,,,ro,0 %d verity %s", t.Sectors(), t.Params()), nil
}
