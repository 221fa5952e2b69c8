// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package sysext

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/linux/inroot"
	"github.com/initddi/initddi/internal/linux/mount"
	"github.com/initddi/initddi/internal/policy"
)

// part is one hierarchy, ready to be attached.
type part struct {
	hierarchy string
	path      string
	mount     *mount.Mount
	old       *mount.Mount // copy of what is merged there now, nil if nothing is
	submounts []string     // what was mounted below it, and has a copy in mount
	under     *os.File     // the directory that it is attached to
}

// work is what was prepared.
type work struct {
	parts []part
	gone  []string // what is merged now and will not be
}

func (w *work) close() {
	if w == nil {
		return
	}
	for _, p := range w.parts {
		p.mount.Close()
		if p.old != nil {
			p.old.Close()
		}
		if p.under != nil {
			p.under.Close()
		}
	}
}

// used is an extension that fits.
type used struct {
	Image
	tree     string // where it is in the workspace
	rootHash string
}

// builder makes a work in a mount namespace of its own.
type builder struct {
	*System
	o         Options
	root      *os.File
	w         *work
	used      []used
	rehearsal bool
	left      []Left   // extensions that do not fit
	made      []string // directories that were made where they can be seen, and have to go if nothing comes of it
}

// prepare builds the merge where nobody sees it.
func (s *System) prepare(images []Image, o Options) (*work, error) {
	return (&builder{System: s, o: o, w: &work{}}).run(images)
}

// rehearse does what prepare does up to the decisions, and mounts no overlay. It says nothing.
func (s *System) rehearse(images []Image, o Options) error {
	quiet := *s
	quiet.Say = nil
	b := &builder{System: &quiet, o: o, w: &work{}, rehearsal: true}
	_, err := b.run(images)
	b.unmake()
	return err
}

func (b *builder) run(images []Image) (*work, error) {
	err := mount.InNamespace(func() (err error) {
		// A descriptor from outside leads into the mounts outside.
		if b.root, err = b.open(); err != nil {
			return err
		}
		defer b.root.Close()
		return b.build(images)
	})
	if err != nil {
		b.w.close()
		b.unmake()
		return nil, err
	}
	return b.w, nil
}

// unmake removes what was made for a merge that did not come about. A mutable directory that was made is empty.
func (b *builder) unmake() {
	for _, dir := range slices.Backward(b.made) {
		if strings.HasSuffix(dir, "-workdir") {
			_ = os.RemoveAll(dir)
		} else {
			_ = os.Remove(dir)
		}
	}
}

// makeWorkspace mounts the workspace.
func (b *builder) makeWorkspace() error {
	// Before systemd has run, its /run/systemd is made here: everybody has to get through it.
	err := os.MkdirAll(filepath.Dir(b.workspace()), 0o755)
	if err == nil {
		err = os.MkdirAll(b.workspace(), 0o700)
	}
	if err != nil {
		return fmt.Errorf("cannot make the workspace: %w", err)
	}
	m, err := mount.New(mount.Request{Type: "tmpfs", Source: string(b.Class), Options: []mount.Option{{Key: "mode", Value: "0700"}}})
	if err != nil {
		return err
	}
	return errors.Join(m.Attach(b.workspace()), m.Close())
}

func (b *builder) build(images []Image) error {
	if err := b.makeWorkspace(); err != nil {
		return err
	}
	host, err := b.host(b.root)
	if err != nil {
		return err
	}
	for _, img := range images {
		if err := b.take(img, host); err != nil {
			return err
		}
	}
	return b.assemble()
}

// assemble makes the parts out of the extensions that fit.
func (b *builder) assemble() error {
	before, err := b.uncover()
	if err != nil {
		return err
	}
	defer func() {
		for _, u := range before {
			u.close()
		}
	}()
	if len(b.used) == 0 && b.o.Mutable.Off() {
		if n := len(b.left); n > 0 {
			b.say("No suitable extensions found (%d ignored due to incompatible image(s)).", n)
		} else {
			b.say("No extensions found.")
		}
	} else {
		b.sort()
	}
	requests := make([]*layers.Request, len(before))
	for i, u := range before {
		if requests[i], err = b.request(u); err != nil {
			return err
		}
	}
	if b.rehearsal {
		for _, r := range requests {
			if _, err := layers.Plan(*r); err != nil {
				return err
			}
		}
		return nil
	}
	origin := b.origin(requests)
	for i, u := range before {
		if err := b.overlay(u, requests[i], origin); err != nil {
			return err
		}
	}
	return nil
}

// sort orders the extensions, the lowest layer first, and says which they are.
func (b *builder) sort() {
	if len(b.used) == 0 {
		b.say("No extensions found, proceeding in mutable mode.")
		return
	}
	names, paths := make([]string, len(b.used)), make([]string, len(b.used))
	for i, u := range b.used {
		names[i], paths[i] = u.Name, filepath.Base(u.Path)
	}
	layers.Order(names)
	layers.Order(paths)
	slices.SortFunc(b.used, func(x, y used) int { return slices.Index(names, x.Name) - slices.Index(names, y.Name) })
	b.say("Using extensions '%s'.", strings.Join(paths, "', '"))
}

func (b *builder) names() []string {
	var out []string
	for _, u := range b.used {
		out = append(out, u.Name)
	}
	return out
}

// take mounts an extension in the workspace and keeps it if it fits.
func (b *builder) take(img Image, host layers.Host) error {
	u := used{Image: img, tree: filepath.Join(b.workspace(), b.Class.Plural(), img.Name)}
	if err := os.MkdirAll(u.tree, 0o700); err != nil {
		return fmt.Errorf("cannot make the workspace: %w", err)
	}
	var err error
	if img.Type == "directory" || img.Type == "subvolume" {
		err = b.takeDirectory(u)
	} else {
		u.rootHash, err = b.takeImage(u)
	}
	if err != nil {
		return err
	}
	return b.judge(u, host)
}

// judge keeps an extension that is mounted in the workspace if it fits.
func (b *builder) judge(u used, host layers.Host) error {
	if b.o.Force {
		b.used = append(b.used, u)
		return nil
	}
	tree, err := os.Open(u.tree)
	if err != nil {
		return err
	}
	defer tree.Close()
	release, err := readRelease(tree, b.Class, u.Name)
	if err != nil {
		err = &layers.MismatchError{Err: err}
	} else {
		err = layers.Match(b.Class, host, release)
	}
	var mismatch *layers.MismatchError
	switch {
	case errors.As(err, &mismatch):
		b.leaveOut(u.Name, mismatch)
	case err != nil:
		return err
	default:
		b.used = append(b.used, u)
	}
	return nil
}

func (b *builder) leaveOut(name string, why error) {
	b.left = append(b.left, Left{name, why})
	b.say("Leaving out '%s': it %s.", name, why)
}

func (b *builder) takeDirectory(u used) error {
	m, err := mount.Clone(u.Path, false)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.SetAttr(mount.ReadOnly, false); err != nil {
		return err
	}
	return m.Attach(u.tree)
}

// takeImage mounts an image that package resolve accepts, and returns its root hash.
func (b *builder) takeImage(u used) (string, error) {
	initrd, err := isInitrd(b.root)
	if err != nil {
		return "", err
	}
	p := b.o.Policy
	if p == nil {
		own, err := policy.Parse(b.Class.Policy(u.found, initrd))
		if err != nil {
			return "", err
		}
		p = &own
	}
	// What lies below /.extra in an initrd came from the ESP, which anybody can write to: no option makes that acceptable.
	img, err := b.Open(u.Path, *p, !initrd || layers.Below(u.found, "/.extra") == "")
	if err != nil {
		return "", fmt.Errorf("cannot use the extension %s: %w", u.Name, err)
	}
	defer img.Close()
	if img.Refusal != nil {
		return "", img.Refusal
	}
	at := u.tree
	if img.Authentic().Designator == gpt.Usr {
		at += "/usr"
		if err := os.Mkdir(at, 0o755); err != nil {
			return "", err
		}
	}
	m, err := img.Mount(at, b.Drivers)
	if err != nil {
		return "", err
	}
	tree, err := os.Open(u.tree)
	if err != nil {
		return "", err
	}
	defer tree.Close()
	what, err := b.contents(tree, false, b.o.Force)
	if err := refuse(u.Name, what, err); err != nil {
		return "", err
	}
	return m.RootHash, nil
}

// uncovered is a hierarchy as it is without a merge.
type uncovered struct {
	place
	old       *mount.Mount // what is merged, nil if nothing is
	submounts []submount
}

func (u *uncovered) close() {
	closeAll(u.submounts)
	if u.old != nil {
		u.old.Close()
	}
}

// uncover takes the merges away in this namespace, and copies of what is mounted below the hierarchies.
func (b *builder) uncover() (out []uncovered, err error) {
	places, err := b.places(b.root)
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		u := uncovered{place: p}
		if p.path != "" {
			if u.submounts, err = b.submounts(p.path); err != nil {
				return out, err
			}
		}
		out = append(out, u)
		for {
			is, err := b.merged(p.path)
			if err != nil {
				return out, err
			}
			if !is {
				break
			}
			if u := &out[len(out)-1]; u.old == nil {
				if u.old, err = mount.Clone(p.path, true); err != nil {
					return out, err
				}
			}
			if err := mount.Unmount(p.path); err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

// request gathers what the layers of a hierarchy are made of.
func (b *builder) request(u uncovered) (*layers.Request, error) {
	r := &layers.Request{
		Class: b.Class, Hierarchy: u.hierarchy, Mutable: b.o.Mutable, NoExec: b.o.NoExec, Options: b.o.MountOptions,
		Meta: filepath.Join(b.workspace(), "meta", u.hierarchy),
	}
	for _, x := range slices.Backward(b.used) {
		dir, err := x.hierarchy(u.hierarchy)
		if err != nil {
			return nil, err
		}
		if dir != "" {
			r.Extensions = append(r.Extensions, dir)
		}
	}
	if len(r.Extensions) == 0 && b.o.Mutable.Off() {
		return r, nil
	}
	var err error
	if r.Host, err = tree(u.path); err != nil {
		return nil, err
	}
	return r, b.mutable(r)
}

// hierarchy returns the directory of a hierarchy in an extension; "" if it has none, or nothing in it.
func (x used) hierarchy(name string) (string, error) {
	root, err := os.Open(x.tree)
	if err != nil {
		return "", err
	}
	defer root.Close()
	h, err := inroot.Handle(root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot find %s in the extension %s: %w", name, x.Name, err)
	}
	defer h.Close()
	dir, err := inroot.Where(h)
	if err != nil {
		return "", err
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", fmt.Errorf("cannot read %s in the extension %s: %w", name, x.Name, err)
	}
	defer d.Close()
	list, err := d.Readdirnames(1)
	if len(list) == 0 && isEnd(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot read %s in the extension %s: %w", name, x.Name, err)
	}
	return dir, nil
}
