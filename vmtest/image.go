// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/image"
	"github.com/initddi/initddi/internal/keys"
)

// Image returns the file of the image called name.
func (w *Workshop) Image(ctx context.Context, name string) (string, error) {
	i, ok := w.images[name]
	if !ok {
		return "", fmt.Errorf("cannot make image %q: no table names it", name)
	}
	if i.From != "" {
		return w.damaged(ctx, i)
	}
	if i.Recipe != "" {
		return w.recipe(i.Ready, i.Recipe)
	}
	if i.Ready != "" {
		return w.need(i.Ready, "just demo makes it")
	}
	makeTree := w.tree
	switch i.Tree {
	case "debian-usr":
		makeTree = w.debianUsr
	case "complex-usr":
		makeTree = w.complexUsr
	case "debian-update":
		makeTree = w.debianUpdate
	}
	tree, err := makeTree(ctx, i)
	if err != nil {
		return "", err
	}
	o := image.Options{Source: tree, FileSystem: i.FileSystem, Compress: i.Compress, Arch: gpt.Arch(cmp.Or(i.Arch, "x86-64")), Usr: i.Usr, Bare: i.Bare, SectorSize: i.SectorSize, DataBlockSize: i.DataBlockSize}
	key := []any{w.self, i, tree}
	with := ""
	if i.With != "" {
		if with, err = w.Image(ctx, i.With); err != nil {
			return "", err
		}
		key = append(key, with)
	}
	if i.Key != "" {
		pair, err := w.pair(i.Key)
		if err != nil {
			return "", err
		}
		if o.Certificate, err = keys.CertificateDER(pair.Cert); err != nil {
			return "", err
		}
		o.Signer = pair.Sign
		key = append(key, o.Certificate)
	}
	if i.Bare {
		dir, err := w.make("image-"+name, key, func(tmp string) error {
			if err := os.Mkdir(tmp, 0o755); err != nil {
				return err
			}
			o.Output = filepath.Join(tmp, bareName)
			_, err := image.Build(ctx, o)
			return err
		})
		return filepath.Join(dir, bareName), err
	}
	return w.make("image-"+name+".raw", key, func(tmp string) error {
		o.Output = tmp
		if _, err := image.Build(ctx, o); err != nil {
			return err
		}
		if with != "" {
			if err := image.Combine(tmp, []string{with, tmp}); err != nil {
				return err
			}
		}
		if i.Damage == nil {
			return nil
		}
		return i.Damage(tmp)
	})
}

// bareName is the file of an image without a partition table, in a directory with the files that belong to it.
const bareName = "image.raw"

// beside returns the files that lie beside an image, by what their names end in.
func beside(file string) (map[string]string, error) {
	if filepath.Base(file) != bareName {
		return nil, nil
	}
	stem := strings.TrimSuffix(file, ".raw")
	found, err := filepath.Glob(stem + ".*")
	out := map[string]string{}
	for _, f := range found {
		if f != file {
			out[strings.TrimPrefix(f, stem)] = f
		}
	}
	return out, err
}

func (w *Workshop) damaged(ctx context.Context, i Image) (string, error) {
	from, err := w.Image(ctx, i.From)
	if err != nil {
		return "", err
	}
	return w.make("image-"+i.Name+".raw", []any{w.self, i, from}, func(tmp string) error {
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(tmp, b, 0o644); err != nil || i.Damage == nil {
			return err
		}
		return i.Damage(tmp)
	})
}

// RootHash returns an image's root hash in hexadecimal; a damaged image has that of the one it was.
func (w *Workshop) RootHash(ctx context.Context, name string) (string, error) {
	if i := w.images[name]; i.From != "" {
		return w.RootHash(ctx, i.From)
	}
	path, err := w.Image(ctx, name)
	if err != nil {
		return "", err
	}
	files, err := beside(path)
	if err != nil {
		return "", err
	}
	for _, ext := range []string{".roothash", ".usrhash"} {
		if files[ext] != "" {
			b, err := os.ReadFile(files[ext])
			return strings.TrimSpace(string(b)), err
		}
	}
	data, hash, err := parts(path)
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(append(data.UUID[:], hash.UUID[:]...)), nil
}

// tableOf reads the partition table of an image or of a disk.
func tableOf(path string) (*gpt.Table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	table, err := gpt.Read(f, info.Size(), 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return table, nil
}

// parts returns the data and the hash partition of an image of ours, with 512-byte sectors; those for x86-64 if it has any.
func parts(path string) (data, hash gpt.Partition, err error) {
	table, err := tableOf(path)
	if err != nil {
		return data, hash, err
	}
	for _, arch := range []gpt.Arch{gpt.ARM64, gpt.X86_64} {
		for _, p := range table.Partitions {
			switch d, a, _ := gpt.Lookup(p.Type); {
			case a != arch:
			case d == gpt.Root || d == gpt.Usr:
				data = p
			case d == gpt.RootVerity || d == gpt.UsrVerity:
				hash = p
			}
		}
	}
	if data.Number == 0 || hash.Number == 0 {
		return data, hash, fmt.Errorf("cannot read %s: no data or no hash partition", path)
	}
	return data, hash, nil
}

// flip inverts a byte at an offset into the data partition of an image.
func flip(offset int64) func(string) error {
	return func(path string) error {
		data, _, err := parts(path)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		b := make([]byte, 1)
		at := data.Offset(512) + offset
		if _, err := f.ReadAt(b, at); err != nil {
			return err
		}
		b[0] ^= 0xff
		if _, err := f.WriteAt(b, at); err != nil {
			return err
		}
		return f.Close()
	}
}

// flipBehind inverts the byte behind the first place in the data partition that holds text.
func flipBehind(text string) func(string) error {
	return func(path string) error {
		data, _, err := parts(path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		start := data.Offset(512)
		i := bytes.Index(b[start:start+data.Size(512)], []byte(text))
		if i < 0 {
			return fmt.Errorf("cannot damage %s: %q is not in it", path, text)
		}
		return flip(int64(i + len(text)))(path)
	}
}

// truncate cuts an image in the middle of its data.
func truncate(path string) error {
	data, _, err := parts(path)
	if err != nil {
		return err
	}
	return os.Truncate(path, data.Offset(512)+data.Size(512)/2)
}

// kernel is a kernel with its modules, if it has any.
type kernel struct{ Image, Modules string }

// kernel finds the kernel called name.
func (w *Workshop) kernel(name string) (*kernel, error) {
	switch name {
	case "", "cloud":
		image, err := w.need("debian/boot/vmlinuz", "just tree makes it")
		if err != nil {
			return nil, err
		}
		modules, err := w.need("debian/modules", "just tree makes it")
		return &kernel{image, modules}, err
	case "generic":
		root, err := w.fetched("kernel-generic", "trixie", "linux-image-amd64")
		if err != nil {
			return nil, err
		}
		found, err := filepath.Glob(filepath.Join(root, "boot/vmlinuz-*"))
		if err != nil || len(found) != 1 {
			return nil, fmt.Errorf("cannot find the kernel in %s: %d files boot/vmlinuz-*", root, len(found))
		}
		return &kernel{found[0], root}, nil
	case "template", "template-ramdisk":
		image, err := w.need("kernel/initddi/bzImage"+strings.TrimPrefix(name, "template"), "just kernel makes it")
		return &kernel{Image: image}, err
	}
	return nil, fmt.Errorf("cannot find kernel %q: only cloud, generic, template and template-ramdisk", name)
}

// fetched returns the directory with what is in a Debian package, fetching that if it is not there. It is not fetched again: a
// newer one in the archive is no reason for other results.
func (w *Workshop) fetched(name, suite, pkg string) (string, error) {
	dir := filepath.Join(w.Build, name)
	t := w.thing("fetched " + name)
	t.once.Do(func() {
		if _, err := os.Stat(filepath.Join(dir, "version")); err == nil {
			return
		}
		w.say("fetching %s of %s", pkg, suite)
		if _, err := w.run(context.Background(), nil, "scripts/fetch-package", suite, pkg, dir); err != nil {
			t.err = &MissingError{What: err.Error()}
		}
	})
	return filepath.Join(dir, "root"), t.err
}
