// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package sysext

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/linux/inroot"
	"github.com/initddi/initddi/internal/linux/mount"
)

// Merge merges all extensions that fit. It is an error that wraps [ErrMerged] if there is a merge already, and none if nothing fits.
// After an error everything is as it was.
func (s *System) Merge(o Options) error {
	return s.locked(func(root *os.File) error {
		images, err := s.usable(root)
		if err != nil {
			return err
		}
		places, err := s.places(root)
		if err != nil {
			return err
		}
		for _, p := range places {
			is, err := s.merged(p.path)
			if err != nil {
				return err
			}
			if is {
				return fmt.Errorf("cannot merge into %s: %w", p.hierarchy, ErrMerged)
			}
		}
		w, err := s.prepare(images, o)
		if err != nil {
			return err
		}
		defer w.close()
		return s.commit(root, w, "merge")
	})
}

// Refresh makes the merge what a new one would be: it replaces, merges, or takes out. Where nothing is written to the merged
// hierarchies there is no moment without one of the two, and after an error the old merge is still there.
func (s *System) Refresh(o Options) error {
	return s.locked(func(root *os.File) error {
		images, err := s.usable(root)
		if err != nil {
			return err
		}
		writable, err := s.writable(root)
		if err != nil {
			return err
		}
		// Two overlays must not have one upper directory. So the old one goes before the new one is there; what can be found out before is.
		if writable || !o.Mutable.Off() {
			if err := s.rehearse(images, o); err != nil {
				return err
			}
			if err := s.unmerge(root); err != nil {
				return err
			}
		}
		w, err := s.prepare(images, o)
		if err != nil {
			return err
		}
		defer w.close()
		return s.commit(root, w, "refresh")
	})
}

// usable finds the extensions and refuses what none may have.
func (s *System) usable(root *os.File) ([]Image, error) {
	images, err := s.list(root)
	if err != nil {
		return nil, err
	}
	for _, img := range images {
		if img.Type != "directory" && img.Type != "subvolume" {
			continue
		}
		if err := s.forbidden(img); err != nil {
			return nil, err
		}
	}
	return images, nil
}

// writable reports whether something that is merged is written to a directory, and not to memory.
func (s *System) writable(root *os.File) (bool, error) {
	places, err := s.places(root)
	if err != nil {
		return false, err
	}
	for _, p := range places {
		is, err := s.merged(p.path)
		if err != nil {
			return false, err
		}
		if is {
			if _, err := os.Stat(p.path + "/" + s.Class.MetaDir() + "/work_dir"); err == nil {
				return true, nil
			}
		}
	}
	return false, nil
}

// commit attaches what was prepared. After an error everything is as it was, or what is left to do is written down.
func (s *System) commit(root *os.File, w *work, verb string) error {
	if len(w.parts) == 0 && len(w.gone) == 0 {
		return nil
	}
	j := journal{verb: verb}
	for _, p := range w.parts {
		j.places = append(j.places, p.path)
	}
	j.places = append(j.places, w.gone...)
	if err := s.write(j); err != nil {
		return err
	}
	if err := s.attachAll(root, w); err != nil {
		return errors.Join(err, s.done())
	}
	// From here on there is no way back, only on. After an error the next run goes on, with what is written down.
	for _, p := range w.parts {
		s.bury(p)
	}
	for _, path := range w.gone {
		if err := s.takeOut(&j, path); err != nil {
			return err
		}
	}
	return s.done()
}

// attachAll attaches all parts, or none.
func (s *System) attachAll(root *os.File, w *work) error {
	var undo []func() error
	for i := range w.parts {
		back, err := s.attach(root, &w.parts[i])
		if back != nil {
			undo = append(undo, back)
		}
		if err != nil {
			for _, f := range slices.Backward(undo) {
				err = errors.Join(err, f())
			}
			return err
		}
	}
	for _, p := range w.parts {
		s.say("Merged extensions into '%s'.", p.path)
	}
	return nil
}

// attach puts one hierarchy into its place. back undoes it, also if there was an error.
func (s *System) attach(root *os.File, p *part) (back func() error, err error) {
	at, err := inroot.MkdirAll(root, p.hierarchy, 0o755)
	if err != nil {
		return nil, fmt.Errorf("cannot make the hierarchy %s: %w", p.hierarchy, err)
	}
	p.under = at
	if p.path, err = inroot.Where(at); err != nil {
		return nil, err
	}
	if p.old == nil {
		s.step("attach", p.path)
		if err := p.mount.Attach(p.path); err != nil {
			return nil, err
		}
		return func() error { return mount.Unmount(p.path) }, nil
	}
	s.step("attach beneath", p.path)
	if err := p.mount.AttachBeneath(p.path); err == nil {
		s.step("replace", p.path)
		back := func() error { return errors.Join(mount.Unmount(p.path), p.old.Attach(p.path)) }
		if err := mount.Unmount(p.path); err != nil {
			return nil, err
		}
		return back, nil
	}
	// An older kernel, or a mount that it cannot be done with: for a moment there is neither.
	s.step("take away", p.path)
	if err := mount.Unmount(p.path); err != nil {
		return nil, err
	}
	again := func() error { return p.old.Attach(p.path) }
	s.step("attach", p.path)
	if err := p.mount.Attach(p.path); err != nil {
		return again, err
	}
	return func() error { return errors.Join(mount.Unmount(p.path), again()) }, nil
}

// bury takes away what was mounted below the hierarchy and has a copy in the merged one now. A leftover does no harm: nobody sees it, and
// taking the merge out finds it there.
func (s *System) bury(p part) {
	if p.old != nil {
		return // it went with the old merge
	}
	for _, m := range p.submounts {
		s.step("bury", p.path+m)
		if err := mount.Unmount(inroot.ThroughProc(p.under) + m); err != nil {
			s.say("note: %s", strings.TrimSpace(err.Error()))
		}
	}
}
