// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ulikunitz/xz"

	"github.com/initddi/initddi/vmtest/guest"
)

// marker returns the program that is the init of the small images.
func (w *Workshop) marker(ctx context.Context) (string, error) {
	sum, err := w.sources(ctx, "./vmtest/guest/marker")
	if err != nil {
		return "", err
	}
	return w.make("marker", sum, func(tmp string) error {
		_, err := w.run(ctx, []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64"}, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", tmp, "./vmtest/guest/marker")
		return err
	})
}

// file is a file of a tree, or a link, whose data is its target.
type file struct {
	path string
	data []byte
	mode os.FileMode
}

// osRelease returns what the image says of itself.
func (i Image) osRelease() string {
	id := "debian"
	if i.Tree == "other" {
		id = "other"
	}
	release := "ID=" + id + "\nNAME=\"initddi test image\"\n"
	if !strings.Contains(i.Release, "VERSION_ID=") {
		release += "VERSION_ID=13\n"
	}
	if i.Version != "" {
		release += "IMAGE_VERSION=" + i.Version + "\n"
	}
	return release + i.Release
}

// tree returns the directory that an image is made from.
func (w *Workshop) tree(ctx context.Context, i Image) (string, error) {
	marker, err := w.marker(ctx)
	if err != nil {
		return "", err
	}
	program, err := os.ReadFile(marker)
	if err != nil {
		return "", err
	}
	kind := cmp.Or(i.Tree, "marker")
	release := i.osRelease()
	init := file{"sbin/init", program, 0o755}
	osRelease := file{"etc/os-release", []byte(release), 0o644}
	var files []file
	dirs := []string{"dev", "proc", "sys", "run", "tmp", ".extra"}
	switch kind {
	case "marker", "other", "tpm":
		files = []file{init, osRelease}
	case "bare":
		files = []file{init, osRelease}
		dirs = dirs[:len(dirs)-1]
	case "payload", "payload-initrd", "payload-esp":
		files = []file{init, osRelease, {guest.PayloadPath, guest.Payload(), 0o644}}
		if kind == "payload-initrd" {
			files[0].path = "init"
			files = append(files, file{"etc/initrd-release", []byte(release), 0o644})
			dirs = append(dirs, "sysroot")
		}
	case "files":
		dirs, files, kind = nil, i.files(), i.Name
	case "confext":
		dirs = nil
		files = []file{{"etc/extension-release.d/extension-release.settings", []byte("ID=debian\nVERSION_ID=13\n"), 0o644}}
	case "initrd":
		init.path = "init"
		files = []file{init, osRelease, {"etc/initrd-release", []byte(release), 0o644}}
		dirs = append(dirs, "sysroot")
	case "usr":
		dirs = nil
		files = []file{{"usr/sbin/init", program, 0o755}, {"usr/lib/os-release", []byte(release), 0o644}}
	case "noinit":
		files = []file{osRelease}
	case "norelease":
		files = []file{init}
	case "plaininit":
		init.mode = 0o644
		files = []file{init, osRelease}
	case "nodirs":
		files = []file{init, osRelease}
		dirs = []string{"dev", "proc", "sys"}
	case "merged":
		files = []file{{"sbin", []byte("usr/sbin"), os.ModeSymlink}, {"lib", []byte("usr/lib"), os.ModeSymlink}, {"usr/sbin/init", program, 0o755}, {"usr/lib/os-release", []byte(release), 0o644}}
	case "sysext":
		dirs = nil
		files = []file{{"usr/lib/extension-release.d/extension-release.tool", []byte("ID=debian\nVERSION_ID=13\n"), 0o644}, {"usr/bin/tool", program, 0o755}}
	default:
		return "", fmt.Errorf("cannot make a tree of kind %q", kind)
	}
	foreign, err := w.foreign(ctx, kind)
	if err != nil {
		return "", err
	}
	files = append(files, foreign...)
	name := "tree-" + kind
	if i.Version != "" {
		name += "-" + i.Version
	}
	if i.Release != "" {
		name += "-" + i.Name
	}
	return w.make(name, []any{w.self, marker, hashOf(foreign), i.Tree, i.Version, i.Release, i.Files, i.Random}, func(tmp string) error {
		if err := writeTree(tmp, dirs, files); err != nil || i.Random == 0 {
			return err
		}
		return writeRandom(filepath.Join(tmp, "usr/share/random"), i.Random)
	})
}

// files returns what is in a tree of kind "files".
func (i Image) files() []file {
	var out []file
	for _, path := range slices.Sorted(maps.Keys(i.Files)) {
		mode := os.FileMode(0o644)
		if strings.HasPrefix(path, "usr/bin/") {
			mode = 0o755
		}
		out = append(out, file{path, []byte(i.Files[path]), mode})
	}
	return out
}

// debianUsr returns the demonstration's system with its report moved from /etc to where packages have theirs: of such a system
// nothing but /usr is in an image of /usr.
func (w *Workshop) debianUsr(ctx context.Context, _ Image) (string, error) {
	tar, err := w.need("debian_13.tar", "just demo makes it")
	if err != nil {
		return "", err
	}
	info, err := os.Stat(tar)
	if err != nil {
		return "", err
	}
	const etc, lib = "etc/systemd/system/", "usr/lib/systemd/system/"
	units := []string{"initddi-demo-report.service", "initddi-bless.service"}
	return w.make("tree-debian-usr", []any{w.self, tar, info.Size(), info.ModTime()}, func(tmp string) error {
		if err := os.MkdirAll(filepath.Join(tmp, lib, "multi-user.target.wants"), 0o755); err != nil {
			return err
		}
		args := []string{"-x", "-p", "--numeric-owner", "-C", tmp, "-f", tar, "./usr"}
		for _, u := range units {
			args = append(args, "./"+etc+u)
		}
		if _, err := w.run(ctx, nil, "tar", args...); err != nil {
			return err
		}
		for _, u := range units {
			if err := os.Rename(filepath.Join(tmp, etc, u), filepath.Join(tmp, lib, u)); err != nil {
				return err
			}
			// As "systemctl enable" would, below /etc.
			if err := os.Symlink("../"+u, filepath.Join(tmp, lib, "multi-user.target.wants", u)); err != nil {
				return err
			}
		}
		return nil
	})
}

// foreign returns what a kind of tree has in it that is not made here: drivers for the ESP, tools for the TPM.
func (w *Workshop) foreign(ctx context.Context, kind string) ([]file, error) {
	switch kind {
	case "marker", "bare", "initrd", "usr", "payload-esp":
		return w.vfat()
	case "tpm":
		return w.tools(ctx)
	}
	return nil, nil
}

func writeTree(root string, dirs []string, files []file) error {
	for _, d := range dirs {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	for _, f := range files {
		name := filepath.Join(root, f.path)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		var err error
		if f.mode == os.ModeSymlink {
			err = os.Symlink(string(f.data), name)
		} else {
			err = os.WriteFile(name, f.data, f.mode)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeRandom writes a file that is the same every time and cannot be compressed.
func writeRandom(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{}), size)
	return errors.Join(err, f.Close())
}

// vfat returns the driver of the demonstration's kernel for the ESP, unpacked, so that the marker can mount that.
func (w *Workshop) vfat() ([]file, error) {
	k, err := w.kernel("cloud")
	if err != nil {
		return nil, err
	}
	found, err := filepath.Glob(filepath.Join(k.Modules, "lib/modules/*/kernel/fs"))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("cannot find the modules in %s: %d directories lib/modules/*/kernel/fs", k.Modules, len(found))
	}
	dir := found[0]
	release := filepath.Base(filepath.Dir(filepath.Dir(dir)))
	var out []file
	for _, name := range []string{"fat/fat.ko", "fat/vfat.ko", "nls/nls_cp437.ko", "nls/nls_ascii.ko"} {
		b, err := os.ReadFile(filepath.Join(dir, name+".xz"))
		if err != nil {
			return nil, &MissingError{What: err.Error() + " (just tree makes it)"}
		}
		r, err := xz.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("cannot unpack %s: %w", name, err)
		}
		if b, err = io.ReadAll(r); err != nil {
			return nil, fmt.Errorf("cannot unpack %s: %w", name, err)
		}
		out = append(out, file{"usr/lib/modules/" + release + "/" + filepath.Base(name), b, 0o644})
	}
	return out, nil
}
