// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package ddi

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/initddi/initddi/internal/apply"
	"github.com/initddi/initddi/internal/extent"
	"github.com/initddi/initddi/internal/linux/dm"
	"github.com/initddi/initddi/internal/linux/mount"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/resolve"
)

// ErrNotOurs says that what is mounted at a directory is no image that [Image.Mount] put there.
var ErrNotOurs = errors.New("not mounted by ddimount")

// devicePrefix begins the names of the verity devices made here. None of them is a designator, so that systemd takes no image
// that somebody looks at for the system's root.
const devicePrefix = "ddimount-"

// Mounted says what was mounted.
type Mounted struct {
	Image      string `json:"image"`
	Path       string `json:"path"`
	Device     string `json:"device"` // the device mapper name
	RootHash   string `json:"rootHash"`
	FileSystem string `json:"fstype"`
	// Kind, ID and the versions are what the verified tree says of itself; empty where it says nothing.
	Kind         plan.Kind `json:"kind"`
	ID           string    `json:"id,omitempty"`
	VersionID    string    `json:"version_id,omitempty"`
	ImageID      string    `json:"image_id,omitempty"`
	ImageVersion string    `json:"image_version,omitempty"`
	PrettyName   string    `json:"pretty_name,omitempty"`
	// NotBootable is why the identity rules refuse it as a boot image, which says nothing against mounting it; empty if they do not.
	NotBootable string `json:"not_bootable,omitempty"`
	// Warning says why the tree could not be asked.
	Warning string `json:"warning,omitempty"`
}

// Mount mounts the image, read-only and without device nodes, at the directory dir. Nothing of the process holds it after
// that: when it is unmounted, by whomever, its devices go away by themselves. After an error nothing is left. An image that
// was refused is not mounted; the error is the refusal.
func (img *Image) Mount(dir string, drivers *Drivers) (*Mounted, error) {
	if img.Refusal != nil {
		return nil, img.Refusal
	}
	if img.file == nil {
		return nil, fmt.Errorf("cannot mount %s: it was not opened as a file: %w", img.name, errors.ErrUnsupported)
	}
	if img.facts.Authentic.Plain() {
		return img.mountPlain(dir, drivers)
	}
	if err := drivers.Need("loop", "dm", "verity"); err != nil {
		return nil, err
	}
	control, err := dm.Open("/dev/mapper/control")
	if err != nil {
		return nil, err
	}
	defer control.Close()
	blockSize, err := img.blockSize()
	if err != nil {
		return nil, err
	}
	source := apply.Source{Device: img.file.Name(), Extents: extent.List{{Length: img.size}}, BlockSize: blockSize}
	if img.tree != nil {
		source.Tree = &apply.Source{Device: img.tree.Name(), Extents: extent.List{{Length: img.facts.Beside.Tree}}, BlockSize: blockSize}
	}
	a := img.facts.Authentic
	// The same image can be mounted several times, and a process number comes again while a mount is still there.
	random := make([]byte, 4)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("cannot make a device name: %w", err)
	}
	name := devicePrefix + hex.EncodeToString(random)
	up, err := apply.Attach("/dev", name, control, source, a)
	if err != nil {
		return nil, err
	}
	m, out, err := img.mount(up, drivers)
	if err == nil {
		out.Device = name + "-" + hex.EncodeToString(a.RootHash[:8])
		err = up.Settle(out.Device, "")
	}
	if err != nil {
		return nil, errors.Join(err, up.Discard())
	}
	// From here on the mount alone keeps the devices.
	defer m.Close()
	if err := m.Attach(dir); err != nil {
		return nil, err
	}
	out.Path = dir
	return out, nil
}

func (img *Image) mount(up *apply.Image, drivers *Drivers) (*mount.Mount, *Mounted, error) {
	fail := func(err error) (*mount.Mount, *Mounted, error) {
		if up.Corrupt() {
			img.Refusal = &resolve.Refusal{Candidate: img.name, Rule: resolve.RuleVerity, Err: err}
			err = img.Refusal
		}
		return nil, nil, err
	}
	fstype, err := up.FileSystem("/dev")
	if err != nil {
		return fail(err)
	}
	if img.Refusal = resolve.CheckFileSystem(img.plan, img.name, img.facts.Authentic.Designator, fstype); img.Refusal != nil {
		return nil, nil, img.Refusal
	}
	if err := drivers.Need(fstype); err != nil {
		return nil, nil, err
	}
	m, err := up.Mount(fstype, "/dev/"+up.Device)
	if err != nil {
		return fail(err)
	}
	out := &Mounted{Image: img.file.Name(), RootHash: hex.EncodeToString(img.facts.Authentic.RootHash), FileSystem: fstype}
	tree, err := apply.ReadTree(m, img.facts.Authentic.Designator, fstype, img.plan.InitsFor)
	if err != nil {
		if up.Corrupt() {
			return fail(err)
		}
		out.Warning = err.Error()
		return m, out, nil
	}
	os := tree.OSRelease
	out.Kind, out.ID, out.VersionID = tree.Kind, os.Get("ID"), os.Get("VERSION_ID")
	out.ImageID, out.ImageVersion, out.PrettyName = os.Get("IMAGE_ID"), os.Get("IMAGE_VERSION"), os.Get("PRETTY_NAME")
	if r := resolve.CheckIdentity(img.plan, img.name, tree); r != nil {
		out.NotBootable = r.Error()
	}
	return m, out, nil
}

// blockSize returns the unit in which the file can be read: the sector of a block device, and dm's own for a regular file.
func (img *Image) blockSize() (int64, error) {
	info, err := img.file.Stat()
	if err != nil {
		return 0, fmt.Errorf("cannot look at the image: %w", err)
	}
	if info.Mode()&os.ModeDevice == 0 {
		return 512, nil
	}
	node, err := filepath.EvalSymlinks(img.file.Name())
	if err != nil {
		return 0, fmt.Errorf("cannot look at the image: %w", err)
	}
	// A partition has no queue of its own; the link leads into the disk's directory, so ".." is the disk.
	base := "/sys/class/block/" + filepath.Base(node)
	for _, file := range []string{"/queue/logical_block_size", "/../queue/logical_block_size"} {
		b, err := os.ReadFile(base + file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("cannot find the sector size of %s: %w", node, err)
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err != nil || n < 512 || n > 64<<10 {
			return 0, fmt.Errorf("cannot find the sector size of %s: %q is none: %w", node, b, fs.ErrInvalid)
		}
		return n, nil
	}
	return 0, fmt.Errorf("cannot find the sector size of %s: %w", node, fs.ErrNotExist)
}

// Unmount takes away what [Image.Mount] put at dir. It does not touch other mounts: the error wraps [ErrNotOurs].
func Unmount(dir string) error {
	is, err := mount.IsMountPoint(dir)
	if err != nil {
		return err
	}
	if !is {
		return fmt.Errorf("cannot unmount %s: it is not a mount point: %w", dir, ErrNotOurs)
	}
	major, minor, err := mount.Device(dir)
	if err != nil {
		return err
	}
	name, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/dm/name", major, minor))
	if err != nil {
		name = []byte(fmt.Sprintf("%d:%d", major, minor))
	}
	if !strings.HasPrefix(string(name), devicePrefix) {
		return fmt.Errorf("cannot unmount %s: what is mounted there lies on device %s: %w", dir, strings.TrimSpace(string(name)), ErrNotOurs)
	}
	return mount.Release(dir)
}
