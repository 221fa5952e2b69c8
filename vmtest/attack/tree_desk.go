// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/alloctest"
	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/linux/mount"
	"github.com/initddi/initddi/internal/sysext"
)

// TryTree tampers with an extension as the case says, has it merged, and returns what is wrong with what came of it, nothing if it is as it must
// be. It is merged twice, each time with a good one beside it: as in a running system, and as stage 1 does before the hand-over. Whoever calls it
// has to be root in a mount namespace of its own; a case that says so needs to be root of the machine, too. dir has to be empty.
func TryTree(c *Case, dir string) (Finding, []string) {
	running, wrong := tryTree(c, dir, (*treeDesk).running)
	verdict, layer := c.Verdict, c.Layer
	if c.DirectVerdict != "" {
		verdict, layer = c.DirectVerdict, c.DirectLayer
	}
	wrong = append(wrong, c.judged("in a running system", running, verdict, layer)...)
	if c.Options != nil || c.Search {
		return running, wrong
	}
	before, more := tryTree(c, dir, (*treeDesk).before)
	return before, slices.Concat(wrong, more, c.judged("before the hand-over", before, c.Verdict, c.Layer))
}

// judged compares a finding with what must be.
func (c *Case) judged(when string, f Finding, verdict Verdict, layer Layer) []string {
	var wrong []string
	if f.Verdict != verdict || f.Layer != layer {
		wrong = append(wrong, fmt.Sprintf("%s it is %s by %s, wanted %s by %s: %s", when, f.Verdict, f.Layer, verdict, layer, f.Text))
	}
	if !strings.Contains(f.Text, c.Says) && verdict == Refused {
		wrong = append(wrong, fmt.Sprintf("%s it says %q, wanted %q in it", when, f.Text, c.Says))
	}
	return wrong
}

// treeDesk is the place where one extension is judged.
type treeDesk struct {
	c    *Case
	e    *Extension
	said []string
}

// tryTree makes the system and judges it.
func tryTree(c *Case, dir string, judge func(*treeDesk) (Finding, error)) (f Finding, wrong []string) {
	defer func() {
		if r := recover(); r != nil {
			wrong = append(wrong, fmt.Sprintf("cannot make the extension: %v", r))
		}
	}()
	fail := func(err error) (Finding, []string) { return f, append(wrong, err.Error()) }
	m, err := mount.New(mount.Request{Type: "tmpfs", Source: "tamper", Options: []mount.Option{{Key: "mode", Value: "0755"}}})
	if err != nil {
		return fail(err)
	}
	if err := errors.Join(m.Attach(dir), m.Close()); err != nil {
		return fail(err)
	}
	defer func() {
		if err := mount.Unmount(dir); err != nil {
			wrong = append(wrong, "something is left that uses the system: "+err.Error())
		}
	}()
	k := &treeDesk{c: c, e: newExtension(dir, cmp.Or(c.Class, layers.Sysext))}
	untouched, err := snapshot(k.e.Root)
	if err != nil {
		return fail(err)
	}
	c.Extension(k.e)
	before, err := snapshot(k.e.Root)
	if err != nil {
		return fail(err)
	}
	if before == untouched && c.Options == nil {
		return fail(fmt.Errorf("cannot make the extension of %s: nothing was altered", c.Name))
	}
	used := alloctest.Allocated()
	if f, err = judge(k); err != nil {
		return fail(err)
	}
	if used = alloctest.Allocated() - used; used > alloctest.Hostile {
		wrong = append(wrong, fmt.Sprintf("it took %d bytes of memory, at most %d are allowed", used, alloctest.Hostile))
	}
	after, err := snapshot(k.e.Root)
	if err != nil {
		return fail(err)
	}
	for _, d := range differences(before, after) {
		wrong = append(wrong, "afterwards not all is as it was: "+d)
	}
	return f, wrong
}

func (k *treeDesk) system() *sysext.System {
	return &sysext.System{Root: k.e.Root, Class: k.e.Class, Workspace: k.e.Dir + "/workspace", State: k.e.Dir + "/state", Say: func(s string) { k.said = append(k.said, s) }}
}

// running merges as sysextmerge does in a running system, and takes it out again.
func (k *treeDesk) running() (Finding, error) {
	s := k.system()
	var o sysext.Options
	if k.c.Options != nil {
		o = *k.c.Options
	}
	if err := s.Merge(o); err != nil {
		return refusedTree(err.Error()), nil
	}
	list, err := s.Status()
	if err != nil {
		return Finding{}, err
	}
	var names []string
	for _, h := range list {
		if h.Merged {
			names = h.Extensions
		}
	}
	f, err := k.merged(k.e.Root, names, k.said)
	return f, errors.Join(err, s.Unmerge())
}

// before merges as stage 1 does before the hand-over.
func (k *treeDesk) before() (Finding, error) {
	tree, err := mount.Clone(k.e.Root, true)
	if err != nil {
		return Finding{}, err
	}
	var list []sysext.Given
	given := func(name, at string) error {
		m, err := mount.Clone(k.e.Root+at, false)
		if err == nil {
			list = append(list, sysext.Given{Name: name, Path: "/loader/ddi/" + name + ".raw", Tree: m})
			err = m.SetAttr(mount.ReadOnly, false)
		}
		return err
	}
	place := k.e.places()[1]
	errs := []error{given(neighbour, place+"/"+neighbour), given(k.e.Name, k.e.At)}
	for _, name := range k.e.More {
		errs = append(errs, given(name, place+"/"+name))
	}
	if k.e.Twice != "" {
		errs = append(errs, given(k.e.Name, k.e.Twice))
	}
	if err := errors.Join(errs...); err != nil {
		return Finding{}, err
	}
	m, err := sysext.Into(tree, k.e.Class, list, nil, k.e.Dir+"/workspace")
	if m.Tree == nil {
		return Finding{}, fmt.Errorf("the boot image is lost: %w", err)
	}
	defer m.Tree.Close()
	if err != nil {
		return refusedTree(err.Error()), nil
	}
	at := k.e.Dir + "/seen"
	if err := os.Mkdir(at, 0o755); err != nil {
		return Finding{}, err
	}
	if err := m.Tree.Attach(at); err != nil {
		return Finding{}, err
	}
	var said []string
	for _, l := range m.Left {
		said = append(said, l.Name+": it "+l.Err.Error())
	}
	f, err := k.merged(at, m.Used, said)
	return f, errors.Join(err, mount.Unmount(at))
}

// refusedTree makes the finding of a refusal, by the layer whose sentence it is.
func refusedTree(text string) Finding {
	for _, l := range []Layer{Name, Match, Contents, Merge} {
		if l.refuses(text) {
			return Finding{Refused, l, text}
		}
	}
	return Finding{Refused, "", text}
}

// merged judges a merge that came about.
func (k *treeDesk) merged(root string, names, said []string) (Finding, error) {
	is := slices.Contains(names, k.e.Name)
	want := append([]string{neighbour}, k.e.More...)
	if is {
		want = append(want, k.e.Name)
	}
	slices.Sort(want)
	got := slices.Sorted(slices.Values(names))
	if !slices.Equal(got, want) {
		return Finding{}, fmt.Errorf("merged are %q, wanted %q", got, want)
	}
	if err := k.invariants(root); err != nil {
		return Finding{}, err
	}
	if !is {
		for _, s := range said {
			if f := refusedTree(s); f.Layer != "" {
				return f, k.unharmed(root)
			}
		}
		// Nobody speaks of what is no extension by its name.
		return Finding{Refused, Name, "there is no extension of that name"}, k.unharmed(root)
	}
	f := Finding{Harmless, Accepted, "it is merged"}
	if k.c.Merged == nil {
		return f, nil
	}
	contained, err := k.c.Merged(root)
	if contained != "" {
		f = Finding{Contained, Flags, contained}
	}
	return f, err
}

// invariants looks whether what holds of every merge holds.
func (k *treeDesk) invariants(root string) error {
	hierarchy, text := "/usr", map[string]string{"etc/passwd": "root", "home/.systemd-mine-workdir/letter": "mine", "usr/lib/secret": "secret", "usr/bin/" + neighbour: neighbour}
	if k.e.Class == layers.Confext {
		hierarchy = "/etc"
		delete(text, "etc/passwd")
		delete(text, "usr/bin/"+neighbour)
		text["etc/"+neighbour], text["usr/bin/tool"] = neighbour, "the system's"
	}
	for name, want := range text {
		if b, err := os.ReadFile(root + "/" + name); err != nil || string(b) != want {
			return fmt.Errorf("%s has %q (%v), wanted %q", name, b, err, want)
		}
	}
	if b, err := os.ReadFile(root + "/etc/os-release"); !k.c.Identity && (err != nil || !strings.HasPrefix(string(b), fits)) {
		return fmt.Errorf("the merged system says it is %q (%v)", b, err)
	}
	info, err := os.Stat(root + hierarchy)
	if err != nil {
		return err
	}
	mode := os.FileMode(0o751)
	if hierarchy == "/etc" {
		mode = 0o755
	}
	if info.Mode().Perm() != mode {
		return fmt.Errorf("%s has the permissions %v, wanted %v", hierarchy, info.Mode().Perm(), mode)
	}
	if err := os.WriteFile(root+hierarchy+"/new", nil, 0o644); err == nil {
		return fmt.Errorf("%s can be written to", hierarchy)
	}
	return nil
}

// unharmed looks whether nothing of an extension that was refused is there.
func (k *treeDesk) unharmed(root string) error {
	for name, want := range map[string]string{"usr/bin/tool": "the system's", "opt/tool/x": "", "etc/tool": ""} {
		if b, _ := os.ReadFile(root + "/" + name); string(b) != want {
			return fmt.Errorf("it was refused, and %s has %q, wanted %q", name, b, want)
		}
	}
	return nil
}
