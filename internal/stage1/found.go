// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build !nomerge

package stage1

import (
	"encoding/hex"
	"errors"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/apply"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/handoff"
	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/linux/mount"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/report"
)

// What was merged is left mounted once more, in a directory in which systemd-sysext and systemd-confext look for extensions: whoever merges
// again finds what was verified here, and never the file, which is on a partition that nobody has mounted.
//
// An OS image has it in /run, for good. The /run of an initrd image goes on to the real root, and what is mounted there would keep the
// image's devices for ever; nor is it needed, as long as nobody in the initrd merges. systemd's services do as soon as one of those directories
// has something in it, and a merge that finds less than there was is the end of what it does not find. So an initrd image has
// its extensions below /.extra, which ends with it, and only if its systemd would merge anyway: each merge has a moment without any.

// placeFor is where the next init finds an extension.
func placeFor(c layers.Class, name string, kind plan.Kind) string {
	dir := path.Join("/run", c.Plural())
	if kind == plan.KindInitrd {
		dir = path.Join(handoff.ExtraDir, string(c))
	}
	return path.Join(dir, name)
}

// note puts an extension that was merged into the report, and leaves it for an OS image to find. Without that the merge is there all the same.
func (b *boot) note(x bringing, kind plan.Kind) {
	at := ""
	if kind == plan.KindOS {
		at = placeFor(x.Class, x.Name, kind)
		m, err := x.again()
		if err == nil {
			err = errors.Join(attach(m, x.inside(at)), m.Close())
		}
		if err != nil {
			b.log.Warn("%v: the next init will not find %s %s when it merges again", err, x.Class, x.Name)
			at = ""
		}
	}
	e := report.Extension{
		Class: string(x.Class), Name: x.Name, Source: string(x.Source), Path: x.Path, Place: at,
		RootHash: hex.EncodeToString(x.image.Authentic.RootHash), Signer: x.image.Authentic.Signer.Subject, Device: x.device,
	}
	for _, ex := range x.image.Extents {
		e.Extents = append(e.Extents, [2]int64{ex.Offset, ex.Length})
	}
	b.report.Extensions = append(b.report.Extensions, e)
}

// again mounts an extension as it is where it is merged, detached.
func (x bringing) again() (*mount.Mount, error) {
	m, err := x.up.Mount(x.image.Extension.FileSystem, "/dev/mapper/"+x.device)
	if err != nil || x.Class != layers.Confext {
		return m, err
	}
	if err := m.SetAttr(mount.NoSuid|mount.NoExec, false); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// inside is where in an extension's directory its tree is mounted.
func (x bringing) inside(dir string) string {
	if x.image.Authentic.Designator == gpt.Usr {
		return dir + "/usr"
	}
	return dir
}

// attach makes a directory and mounts a tree there.
func attach(m *mount.Mount, at string) error {
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	return m.Attach(at)
}

// findable returns the extensions that an initrd image is to find, because its own systemd will merge those of that class anyway. whole is the tree that is entered,
// and has a directory /.extra or not; of what lies there in the initramfs, the files of except are not carried over.
func (b *boot) findable(whole apply.Opener, kind plan.Kind, hasExtra bool, list []bringing, except []string) []handoff.Found {
	if kind != plan.KindInitrd {
		return nil
	}
	carried := unreachable(b.world.Root, except...)
	var out []handoff.Found
	for _, x := range list {
		e := b.reported(x)
		if e == nil {
			continue
		}
		why := mergesAgain(whole, x.Class, carried)
		if why == "" {
			continue
		}
		err := errNoExtra
		if hasExtra {
			var m *mount.Mount
			if m, err = x.again(); err == nil {
				e.Place = placeFor(x.Class, x.Name, kind)
				out = append(out, handoff.Found{Tree: m, Path: x.inside(strings.TrimPrefix(e.Place, handoff.ExtraDir+"/"))})
				continue
			}
		}
		b.log.Warn("%v: when the image's systemd merges %s, it will not find %s %s any more", err, why, x.Class, x.Name)
	}
	return out
}

var errNoExtra = errors.New("the image has no directory " + handoff.ExtraDir)

// reported returns what the report says of an extension that was merged, nil if it was not.
func (b *boot) reported(x bringing) *report.Extension {
	i := slices.IndexFunc(b.report.Extensions, func(e report.Extension) bool { return e.Class == string(x.Class) && e.Name == x.Name })
	if i < 0 {
		return nil
	}
	return &b.report.Extensions[i]
}

// mergesAgain returns what will have systemd merge extensions of a class in an initrd image: what lies in the tree itself where extensions are found, or
// is carried over into /.extra. It is empty if nothing does.
func mergesAgain(whole apply.Opener, class layers.Class, carried []string) string {
	for _, dir := range class.SearchPath(true) {
		for _, name := range carried {
			if path.Dir(name) == dir {
				return name
			}
		}
		if strings.HasPrefix(dir, "/run/") || strings.HasPrefix(dir, handoff.ExtraDir+"/") {
			continue // stage 1 is who fills them
		}
		f, err := whole.Open(dir)
		if err != nil {
			continue
		}
		entries, err := f.ReadDir(1)
		f.Close()
		if err == nil && len(entries) > 0 {
			return path.Join(dir, entries[0].Name())
		}
	}
	return ""
}
