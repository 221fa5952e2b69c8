// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package sysext

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/initddi/initddi/internal/jsontext"
	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/linux/files"
	"github.com/initddi/initddi/internal/linux/inroot"
	"github.com/initddi/initddi/internal/linux/mount"
)

func isEnd(err error) bool { return err == nil || errors.Is(err, io.EOF) }

// mutable finds, or makes, the mutable directory of a hierarchy.
func (b *builder) mutable(r *layers.Request) error {
	if b.o.Mutable.Off() {
		return nil
	}
	mode := uint32(0o755)
	if r.Host != nil {
		mode = r.Host.Mode
	}
	name := layers.MutableBase + "/" + layers.Component(r.Hierarchy)
	kept, err := b.find(name)
	if err != nil {
		return err
	}
	switch b.o.Mutable {
	case layers.MutableEphemeral, layers.MutableEphemeralImport:
		if b.o.Mutable == layers.MutableEphemeralImport {
			r.Import = kept
		}
		dir := filepath.Join(b.workspace(), "mh_workspace", r.Hierarchy, layers.Component(r.Hierarchy))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("cannot make the mutable directory: %w", err)
		}
		r.Upper, err = tree(dir)
		return err
	case layers.MutableYes, layers.MutableAuto:
		if err := layers.CheckMode(r.Hierarchy, kept, mode); err != nil {
			return err
		}
	}
	if kept == nil && b.o.Mutable == layers.MutableYes {
		b.step("make", name)
		h, err := inroot.MkdirAll(b.root, name, 0o700)
		if err != nil {
			return fmt.Errorf("cannot make the mutable directory: %w", err)
		}
		h.Close()
		if kept, err = b.find(name); err != nil {
			return err
		}
		if kept != nil {
			b.made = append(b.made, kept.Path)
		}
	}
	r.Upper = kept
	return nil
}

// find describes a directory of the root; nil if it does not exist.
func (b *builder) find(name string) (*layers.Tree, error) {
	h, err := inroot.Handle(b.root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot find the mutable directory: %w", err)
	}
	defer h.Close()
	where, err := inroot.Where(h)
	if err != nil {
		return nil, err
	}
	return tree(where)
}

// origin says what the merge is made of.
func (b *builder) origin(requests []*layers.Request) *layers.Origin {
	o := &layers.Origin{Mutable: layers.OriginMutable{Mode: layers.Mutable(orElse(string(b.o.Mutable), string(layers.MutableNo)))}, MountOptions: b.o.MountOptions}
	for _, r := range requests {
		if r.Upper != nil {
			if o.Mutable.Dirs == nil {
				o.Mutable.Dirs = map[string]string{}
			}
			o.Mutable.Dirs[r.Hierarchy] = b.inRoot(r.Upper.Path)
		}
	}
	for _, u := range b.used {
		e := layers.OriginExtension{Path: b.inRoot(u.Path), VerityHash: u.rootHash}
		if u.rootHash == "" {
			birth, modified := micros(u.info.Birth.UnixMicro()), micros(0)
			if u.Type == "raw" {
				modified = micros(u.info.Modified.UnixMicro())
			}
			if u.info.Birth.IsZero() {
				birth = micros(0)
			}
			e.OnMountID, e.Crtime, e.Mtime = u.info.MountID, birth, modified
			if u.info.Handle != "" {
				e.FileHandle = &layers.OriginHandle{Type: u.info.HandleType, Handle: u.info.Handle}
			} else {
				e.Inode = u.info.Inode
			}
		}
		if o.Extensions == nil {
			o.Extensions = map[string]layers.OriginExtension{}
		}
		o.Extensions[u.Name] = e
	}
	return o
}

func micros(n int64) *uint64 {
	u := uint64(max(n, 0))
	return &u
}

// writeMeta writes the metadata directory. The overlay is mounted already: only then its device has a number.
func (b *builder) writeMeta(meta string, stack *layers.Stack, r *layers.Request, at string, origin *layers.Origin) error {
	major, minor, err := mount.Device(at)
	if err != nil {
		return err
	}
	text, err := jsontext.Marshal(origin, "\t")
	if err != nil {
		return err
	}
	type file struct{ name, text string }
	list := []file{
		{b.Class.Plural(), layers.ListText(b.names())},
		{"origin", string(text) + "\n"},
		{"dev", layers.DevText(major, minor)},
	}
	if stack.Work != "" && !b.o.Mutable.InMemory() {
		list = append(list, file{"work_dir", layers.Escape(trimSlash(b.inRoot(stack.Work))) + "\n"})
	}
	if r.Host != nil && r.Host.Path == stack.Lower[len(stack.Lower)-1] {
		info, err := files.Look(r.Host.Path)
		if err != nil {
			return err
		}
		if info.Major != 0 {
			list = append(list, file{"backing", layers.DevText(info.Major, info.Minor)})
		}
	}
	for _, f := range list {
		if err := os.WriteFile(filepath.Join(meta, f.name), []byte(f.text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func trimSlash(s string) string {
	for len(s) > 0 && s[0] == '/' {
		s = s[1:]
	}
	return s
}
