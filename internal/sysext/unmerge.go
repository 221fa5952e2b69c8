// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package sysext

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/linux/files"
	"github.com/initddi/initddi/internal/linux/inroot"
	"github.com/initddi/initddi/internal/linux/mount"
	"github.com/initddi/initddi/internal/mountinfo"
)

// Unmerge takes everything out that was merged, by whomever. What was mounted below a merged hierarchy is mounted there afterwards, too.
func (s *System) Unmerge() error { return s.locked(s.unmerge) }

func (s *System) unmerge(root *os.File) error {
	places, err := s.places(root)
	if err != nil {
		return err
	}
	j := journal{verb: "unmerge"}
	for _, p := range places {
		is, err := s.merged(p.path)
		if err != nil {
			return err
		}
		if is {
			j.places = append(j.places, p.path)
		}
	}
	if len(j.places) == 0 {
		return nil
	}
	if err := s.write(j); err != nil {
		return err
	}
	var errs []error
	for _, path := range j.places {
		errs = append(errs, s.takeOut(&j, path))
	}
	if err := errors.Join(errs...); err != nil {
		return err // what is written down tells the next one where to go on
	}
	return s.done()
}

// takeOut takes all merges at path out.
func (s *System) takeOut(j *journal, path string) error {
	for {
		is, err := s.merged(path)
		if err != nil || !is {
			return err
		}
		if err := s.takeOne(j, path); err != nil {
			return err
		}
		s.say("Unmerged '%s'.", path)
	}
}

// takeOne takes the topmost merge at path out. What is mounted below it is held elsewhere meanwhile, where a later run finds it.
func (s *System) takeOne(j *journal, path string) error {
	workDir, err := s.workDir(path)
	if err != nil {
		return err
	}
	below, err := s.submounts(path)
	if err != nil {
		return err
	}
	defer closeAll(below)
	if err := s.hold(j, path, below); err != nil {
		return err
	}
	meta := filepath.Join(path, s.Class.MetaDir())
	if is, err := mount.IsMountPoint(meta); err == nil && is {
		s.step("unmount", meta)
		if err := mount.Unmount(meta); err != nil {
			return err
		}
	}
	s.step("unmount", path)
	if err := mount.Unmount(path); err != nil {
		return err
	}
	if workDir != "" {
		s.step("remove", workDir)
		if err := os.RemoveAll(workDir); err != nil {
			return fmt.Errorf("cannot remove the overlay's work directory: %w", err)
		}
	}
	return s.release(j)
}

// workDir returns the work directory of the merge at path, "" if it has none that is kept.
func (s *System) workDir(path string) (string, error) {
	b, err := readMeta(filepath.Join(path, s.Class.MetaDir(), "work_dir"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	name, ok := layers.Unescape(line)
	if !ok || !strings.HasPrefix(filepath.Base(name), ".systemd-") || !strings.HasSuffix(name, "-workdir") {
		return "", fmt.Errorf("cannot use the work directory %q of %s: %w", line, path, ErrMeta)
	}
	root, err := s.open()
	if err != nil {
		return "", err
	}
	defer root.Close()
	h, err := inroot.Handle(root, filepath.Dir("/"+name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer h.Close()
	dir, err := inroot.Where(h)
	return filepath.Join(dir, filepath.Base(name)), err
}

// journal is what is being changed, as it is written down. Each line is a word and paths, with tabs between them.
type journal struct {
	verb   string
	places []string // what is merged or taken out
	held   []held
}

// held is a mount that waits below the state directory for its place to be free.
type held struct{ path, rest string }

func (j journal) text() string {
	var b strings.Builder
	b.WriteString(j.verb + "\n")
	for _, p := range j.places {
		b.WriteString("place\t" + layers.Escape(p) + "\n")
	}
	for _, h := range j.held {
		b.WriteString("held\t" + layers.Escape(h.path) + "\t" + layers.Escape(h.rest) + "\n")
	}
	return b.String()
}

func parseJournal(text string) (journal, error) {
	var j journal
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		word, rest, _ := strings.Cut(line, "\t")
		first, second, _ := strings.Cut(rest, "\t")
		a, ok1 := layers.Unescape(first)
		b, ok2 := layers.Unescape(second)
		switch {
		case i == 0 && rest == "":
			j.verb = word
		case i > 0 && word == "place" && ok1:
			j.places = append(j.places, a)
		case i > 0 && word == "held" && ok1 && ok2:
			j.held = append(j.held, held{a, b})
		default:
			return journal{}, fmt.Errorf("cannot read %q: %w", line, ErrMeta)
		}
	}
	return j, nil
}

func (s *System) journalName() string { return filepath.Join(s.state(), s.key()+".journal") }
func (s *System) holdDir(i int) string {
	return filepath.Join(s.state(), s.key()+".held", strconv.Itoa(i))
}
func (s *System) done() error { return os.Remove(s.journalName()) }

// write replaces the journal, whole.
func (s *System) write(j journal) error {
	tmp := s.journalName() + ".new"
	if err := os.WriteFile(tmp, []byte(j.text()), 0o600); err != nil {
		return fmt.Errorf("cannot write down what is being changed: %w", err)
	}
	if err := os.Rename(tmp, s.journalName()); err != nil {
		return fmt.Errorf("cannot write down what is being changed: %w", err)
	}
	return nil
}

// hold makes what is mounted below path visible at another place, too, and writes down where.
func (s *System) hold(j *journal, path string, below []submount) error {
	for _, m := range below {
		dir := s.holdDir(len(j.held))
		j.held = append(j.held, held{path, m.rest})
		if err := s.write(*j); err != nil {
			return err
		}
		s.step("hold", path+m.rest)
		if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
			return err
		}
		if err := attachBelow(m.mount, filepath.Dir(dir), "/"+filepath.Base(dir)); err != nil {
			return err
		}
	}
	return nil
}

// sameMount reports whether the same is mounted at two places.
func sameMount(a, b string) (bool, error) {
	list, err := mount.List()
	if err != nil {
		return false, err
	}
	at := func(path string) (m mountinfo.Mount) {
		if id, err := mount.At(path); err == nil {
			for _, m := range list {
				if m.ID == id && m.Point == path {
					m.ID, m.Parent, m.Point, m.Options = 0, 0, "", ""
					return m
				}
			}
		}
		return mountinfo.Mount{}
	}
	x := at(a)
	return x != mountinfo.Mount{} && x == at(b), nil
}

// release puts what is held where it belongs, unless it is there already.
func (s *System) release(j *journal) error {
	for i := range j.held {
		h, dir := j.held[i], s.holdDir(i)
		if is, err := mount.IsMountPoint(dir); errors.Is(err, fs.ErrNotExist) || err == nil && !is {
			continue
		}
		there, err := sameMount(dir, h.path+h.rest)
		if err != nil {
			return err
		}
		if !there {
			s.step("put back", h.path+h.rest)
			m, err := mount.Clone(dir, true)
			if err != nil {
				return err
			}
			err = attachBelow(m, h.path, h.rest)
			m.Close()
			if err != nil {
				return err
			}
		}
		s.step("let go", dir)
		if err := mount.Unmount(dir); err != nil {
			return err
		}
	}
	if len(j.held) == 0 {
		return nil
	}
	// One by one: what is still mounted must not be emptied.
	for i := range j.held {
		if err := os.Remove(s.holdDir(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.Remove(filepath.Dir(s.holdDir(0))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	j.held = nil
	return s.write(*j)
}

// locked calls f while no other process changes the same root, after what an earlier one left half done was repaired.
func (s *System) locked(f func(root *os.File) error) error {
	if err := os.MkdirAll(s.state(), 0o700); err != nil {
		return fmt.Errorf("cannot write down what is being changed: %w", err)
	}
	lock, err := files.Lock(filepath.Join(s.state(), s.key()+".lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	root, err := s.open()
	if err != nil {
		return err
	}
	defer root.Close()
	if err := s.repair(); err != nil {
		return fmt.Errorf("cannot repair what an earlier run left half done: %w", err)
	}
	return f(root)
}

// repair undoes a merge that was not finished, and finishes to take out what was being taken out.
func (s *System) repair() error {
	b, err := readMeta(s.journalName())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	j, err := parseJournal(string(b))
	if err != nil {
		return err
	}
	s.say("Repairing what an interrupted '%s' left.", j.verb)
	// What is held is of use only where it is not to be seen any more.
	if err := s.release(&j); err != nil {
		return err
	}
	for _, path := range j.places {
		if err := s.takeOut(&j, path); err != nil {
			return err
		}
	}
	return s.done()
}
