// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/esp"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/vm"
)

// Volume is what real roots lie on: one or several file systems, LUKS containers, members of arrays or volume groups, with the system
// of vmtest/complexroot in them.
//
// A workbench makes it: a machine that stage 1 boots into the initrd image, with a shell instead of systemd. So no tool and no kernel
// driver for disks is needed here, and what is unlocked later was made by the programs that unlock it.
type Volume struct {
	Name string `json:"name"`
	// Script is what the shell does, with functions of [workbenchPrelude]; the root as a bare file system is /dev/vdc, the disks to be filled are /dev/vdd and following.
	Script string `json:"script"`
	// Sizes are those of the disks, in MiB. A disk is named by the volume's name and its number from 0, "raid/1", the first by the name alone.
	Sizes []int64 `json:"sizes"`
	// Ready is a file of the build instead, which the Justfile's Recipe makes.
	Ready  string `json:"ready,omitempty"`
	Recipe string `json:"recipe,omitempty"`
}

// UUIDs that the volumes have and command lines name.
const (
	rootUUID = "6c6f6f74-0000-4000-8000-000000000001" // of the root's file system, whatever it lies on
	luksUUID = "6c756b73-0000-4000-8000-000000000002"
	mdUUID   = "6d640000:00004000:80000000:00000003"
)

// passphrase is that of every LUKS container. Typed or in a file, it is the same.
const passphrase = "correct horse"

// workbenchPrelude has the functions of the workbench's scripts. Key derivation is as cheap as it can be: it runs on an emulated processor.
const workbenchPrelude = `set -eux
export PATH=/usr/sbin:/usr/bin LVM_SUPPRESS_FD_WARNINGS=1
mkdir -p /run/lock /run/m /run/cryptsetup
mount -t tmpfs tmpfs /tmp
printf '%s' '` + passphrase + `' >/tmp/key
luks() { cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --uuid ` + luksUUID + ` --key-file /tmp/key "$@"; }
unlock() { cryptsetup open --key-file /tmp/key "$@"; }
fill() { e2image -ra /dev/vdc "$1"; }
`

// emptySize is that of the disk "empty" in bytes.
const emptySize = 1 << 30

// Volume returns a disk of a volume. "ext4" is the root as a bare file system, "empty" a disk of zeros, "image NAME" the image of that name.
func (w *Workshop) Volume(ctx context.Context, name string) (string, error) {
	if image, ok := strings.CutPrefix(name, "image "); ok {
		return w.Image(ctx, image)
	}
	name, number, _ := strings.Cut(name, "/")
	switch name {
	case "ext4":
		return w.recipe("complex/root.ext4", "_complex-root")
	case "empty":
		return w.make("empty.img", emptySize, func(tmp string) error {
			return errors.Join(os.WriteFile(tmp, nil, 0o644), os.Truncate(tmp, emptySize))
		})
	}
	v, ok := w.volumes[name]
	if !ok {
		return "", fmt.Errorf("cannot make volume %q: no table names it", name)
	}
	if v.Recipe != "" {
		return w.recipe(v.Ready, v.Recipe)
	}
	source, err := w.Volume(ctx, "ext4")
	if err != nil {
		return "", err
	}
	image, err := w.Image(ctx, initrdImage)
	if err != nil {
		return "", err
	}
	key, err := stamps(source, image)
	if err != nil {
		return "", err
	}
	// What stage 1 does otherwise tomorrow makes no other disk.
	dir, err := w.shared("volumes", name, []any{v, workbenchPrelude, key}, func(tmp string) error {
		if err := os.Mkdir(tmp, 0o755); err != nil {
			return err
		}
		return w.workbench(ctx, v, source, tmp)
	})
	if number == "" {
		number = "0"
	}
	return filepath.Join(dir, number+".img"), err
}

// stamps says which files they are that just has made, by what it noted down about how they were made.
func stamps(files ...string) (string, error) {
	h := sha256.New()
	for _, f := range files {
		b, err := os.ReadFile(f + ".stamp")
		if errors.Is(err, os.ErrNotExist) {
			var info os.FileInfo
			if info, err = os.Stat(f); err == nil {
				b = fmt.Append(nil, f, info.Size())
			}
		}
		if err != nil {
			return "", err
		}
		h.Write(b)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

// recipe returns the path of a file of the build that a recipe, with its arguments, makes, which is run unless it has been.
func (w *Workshop) recipe(name, recipe string) (string, error) {
	t := w.thing("recipe " + recipe)
	t.once.Do(func() {
		w.say("just %s", recipe)
		_, t.err = w.run(context.Background(), nil, "./just", strings.Fields(recipe)...)
	})
	return filepath.Join(w.Build, name), t.err
}

// workbenchLimit is how long the workbench may take, on a busy machine.
const workbenchLimit = 20 * time.Minute

// workbench makes the disks of a volume in dir.
func (w *Workshop) workbench(ctx context.Context, v Volume, source, dir string) error {
	cell := &Cell{Name: "workbench-" + v.Name, Cmdline: "ddi.init=/bin/sh -- /dev/vdb", Disks: []Disk{onESP(initrdImage)}}
	tmp, err := os.MkdirTemp("", "initddi-workbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	config, err := w.machine(ctx, cell, tmp)
	if err != nil {
		return err
	}
	config.CPUs = 2
	script := filepath.Join(tmp, "script")
	const sector = 512
	text := workbenchPrelude + v.Script + "\nset +x\nsync\necho done >/dev/ttyS1\necho o >/proc/sysrq-trigger\nsleep 60\nexit\n"
	text += strings.Repeat("\n", sector-len(text)%sector)
	if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
		return err
	}
	config.Disks = append(config.Disks, vm.Disk{Path: script, Snapshot: true}, vm.Disk{Path: source, Snapshot: true})
	for i, size := range v.Sizes {
		disk := filepath.Join(dir, strconv.Itoa(i)+".img")
		if err := os.WriteFile(disk, nil, 0o644); err != nil {
			return err
		}
		if err := os.Truncate(disk, size<<20); err != nil {
			return err
		}
		config.Disks = append(config.Disks, vm.Disk{Path: disk})
	}
	log, err := os.Create(w.LogOf(cell))
	if err != nil {
		return err
	}
	err = config.Run(ctx, log, workbenchLimit)
	report, rerr := os.ReadFile(config.Report)
	if rerr != nil || !strings.Contains(string(report), "done") {
		return asMissing(fmt.Errorf("cannot make volume %s: %w; see %s", v.Name, errors.Join(err, rerr, errors.New("the workbench did not end its script")), w.LogOf(cell)))
	}
	return nil
}

// Part is a partition behind a disk's ESP.
type Part struct {
	// Type is that of the partition.
	Type gpt.Designator `json:"type"`
	// Volume names what is in it.
	Volume string `json:"volume"`
}

// behind adds the disk's further partitions.
func (w *Workshop) behind(ctx context.Context, d Disk, o esp.Options) (esp.Options, error) {
	for _, p := range d.Parts {
		kind, ok := gpt.TypeOf(p.Type, gpt.X86_64)
		if !ok {
			return o, fmt.Errorf("cannot make a partition of type %s", p.Type)
		}
		source, err := w.Volume(ctx, p.Volume)
		if err != nil {
			return o, err
		}
		o.Partitions = append(o.Partitions, esp.Partition{Type: kind, Name: string(p.Type), Source: source})
	}
	return o, nil
}

// complexUsr returns the tree of the real root with nothing but /usr.
func (w *Workshop) complexUsr(ctx context.Context, _ Image) (string, error) {
	file, err := w.recipe("complex/root.ext4", "_complex-root")
	if err != nil {
		return "", err
	}
	key, err := stamps(file)
	if err != nil {
		return "", err
	}
	return w.make("tree-complex-usr", key, func(tmp string) error {
		// What root has made for the cells is in the file system alone.
		_, err := w.run(ctx, nil, "scripts/as-root", "vmtest/complexroot/extract-usr", file, tmp)
		return err
	})
}
