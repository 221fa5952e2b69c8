// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package apply brings up what package resolve decided: loop, dm-linear, dm-verity, and the file system in it, mounted detached.
//
// It is the only impure step between a decision and the hand-over, and it undoes itself: whatever an [Image] holds is gone
// after [Image.Discard], also where bringing it up failed half-way. Nothing here decides what is acceptable.
package apply

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/dmtable"
	"github.com/initddi/initddi/internal/extent"
	"github.com/initddi/initddi/internal/fsprobe"
	"github.com/initddi/initddi/internal/linux/dm"
	"github.com/initddi/initddi/internal/linux/keyring"
	"github.com/initddi/initddi/internal/linux/loop"
	"github.com/initddi/initddi/internal/linux/mount"
	"github.com/initddi/initddi/internal/resolve"
	"github.com/initddi/initddi/internal/verity"
)

// ErrFileSystem says that the verified device holds no file system that stage 1 mounts.
var ErrFileSystem = errors.New("not one of the file systems erofs, squashfs, ext4")

// ErrSignature says that bringing up dm-verity failed with a signature for the kernel to check, which may be the reason.
var ErrSignature = errors.New("cannot have the kernel check the signature")

// Source is where an image's bytes are.
type Source struct {
	Device    string // path of the device that holds them, or of a file
	Extents   extent.List
	BlockSize int64 // the device's logical block size in bytes
	Kind      Kind
	// Copy reads the image into memory instead of using it in place.
	Copy   bool
	Memory Memory
	// InPlace makes it an error that the image cannot be used in place; otherwise it is copied then.
	InPlace bool
	// Tree is where the hash tree lies if that is a file on a device of its own; nil if it is among the image's extents.
	Tree *Source
	// Ask, if it is not nil, reads something from a node below /dev with f, and returns an error if that takes too long. Then f may go on,
	// and is not to be waited for. It is used for the first reads of the device and of the image; who must not wait for ever for a
	// disk that dies later does not wait for [Attach] and [Image.Mount] either.
	Ask func(node string, f func() error) error
	// Signature, if it is not nil, is the PKCS#7 message over the root hash, in DER, for the kernel to check. What it says of it
	// is the error of Attach that wraps [ErrSignature].
	Signature []byte
}

// Kind says what a source's Device is.
type Kind int

// The kinds.
const (
	Shared Kind = iota // a device with other things on it, which must stay usable for others
	Own                // a device that has the image and nothing else: the device mapper takes it
	InFile             // a file in memory
)

// Image is an image that has been brought up. Its devices have names that mean nothing to anybody, until [Image.Settle].
type Image struct {
	control *dm.Control
	names   []string // device mapper devices, the topmost last
	backing []*loop.Device
	mount   *mount.Mount

	// Superblock is the image's verity superblock.
	Superblock *verity.Superblock
	// Device is the verity device's node below /dev.
	Device string
	// Pieces is how many extents the table has; 0 if the image was copied.
	Pieces int
	// Copied says why the image was copied into memory; nil if it was not.
	Copied error
	table  verity.Table
	ask    func(node string, f func() error) error
	// signature is what the kernel has to see with every table.
	signature []byte
}

// Attach puts dm-verity over the data partition of an image. name is a prefix for the devices' temporary names. After an error nothing is left.
func Attach(dev, name string, control *dm.Control, src Source, a *resolve.Authentic) (_ *Image, err error) {
	f, err := os.Open(src.Device)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", src.Device, err)
	}
	defer f.Close()
	img := &Image{control: control, signature: src.Signature}
	if src.Kind != InFile {
		img.ask = src.Ask
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, img.Discard())
		}
	}()
	file := extent.NewReader(f, src.Extents)
	data, hash, tree := a.Data, a.Hash, f
	if src.Tree != nil {
		if tree, err = os.Open(src.Tree.Device); err != nil {
			return nil, fmt.Errorf("cannot open %s: %w", src.Tree.Device, err)
		}
		defer tree.Close()
		file, hash.Offset = extent.NewReader(tree, src.Tree.Extents), 0
	}
	var sb *verity.Superblock
	if err := img.read(path.Base(src.Device), func() (err error) {
		sb, err = Superblock(file, data, hash, a.RootHash)
		return err
	}); err != nil {
		return nil, err
	}
	img.Superblock = sb
	data.Length, hash.Length = sb.DataSize(), sb.HashTreeSize()
	inData, block := hash, min(sb.DataBlockSize, sb.HashBlockSize)
	if src.Tree != nil {
		inData, block = dmtable.Region{}, sb.DataBlockSize
	}
	device, hashStart, err := img.gather(dev, name+"-linear", f, src, int64(block), data, inData)
	if err != nil {
		return nil, err
	}
	treeDevice := device
	if src.Tree != nil {
		hashStart = 0
		if treeDevice, _, err = img.gather(dev, name+"-tree", tree, *src.Tree, int64(sb.HashBlockSize), hash, dmtable.Region{}); err != nil {
			return nil, err
		}
	}
	if img.table, err = sb.Table(device, treeDevice, a.RootHash); err != nil {
		return nil, err
	}
	img.table.HashStart += uint64(hashStart) / uint64(sb.HashBlockSize)
	var info dm.Info
	if err := img.withSignature(&img.table, func() error {
		info, err = img.create(name, []dmtable.Target{{Length: img.table.Sectors(), Type: "verity", Params: img.table.Params()}})
		return err
	}); err != nil {
		return nil, err
	}
	img.Device = info.Node()
	return img, nil
}

// read reads from a node below /dev with f.
func (img *Image) read(node string, f func() error) error {
	if img.ask == nil {
		return f()
	}
	return img.ask(node, f)
}

// withSignature calls load while the kernel has the image's signature, if there is one, under the name that is put into the table.
func (img *Image) withSignature(t *verity.Table, load func() error) error {
	if img.signature == nil {
		return load()
	}
	const option = "root_hash_sig_key_desc"
	name := "initddi:" + hex.EncodeToString(t.RootHash)
	if !slices.Contains(t.Options, option) {
		t.Options = append(t.Options, option, name)
	}
	err := keyring.WithUserKey(name, img.signature, load)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return nil
}

// Superblock reads a verity superblock at the start of the hash region and holds it against the regions and the root hash. Errors
// are those of the file, and of package verity.
func Superblock(file io.ReaderAt, data, hash dmtable.Region, rootHash []byte) (*verity.Superblock, error) {
	sb, err := superblock(file, data, hash, rootHash)
	if err != nil {
		return nil, fmt.Errorf("cannot use the verity superblock: %w", err)
	}
	return sb, nil
}

func superblock(file io.ReaderAt, data, hash dmtable.Region, rootHash []byte) (*verity.Superblock, error) {
	b := make([]byte, verity.SuperblockSize)
	if _, err := file.ReadAt(b, hash.Offset); err != nil {
		return nil, err
	}
	sb, err := verity.ParseSuperblock(b)
	if err != nil {
		return nil, err
	}
	if err := sb.Check(data.Length, hash.Length); err != nil {
		return nil, err
	}
	if n := sb.DigestSize(); n != len(rootHash) {
		return nil, fmt.Errorf("%w algorithm %s, whose hashes have %d bytes: the root hash has %d", verity.ErrInvalid, sb.Algorithm, n, len(rootHash))
	}
	return sb, nil
}

// gather makes one device, called name, with the data region at its start and the hash region behind it, and returns it as MAJOR:MINOR with
// the byte offset of the hash region. block is the smallest unit that dm-verity will read of it, in bytes.
func (img *Image) gather(dev, name string, f *os.File, src Source, block int64, data, hash dmtable.Region) (string, int64, error) {
	hashBlock := int64(img.Superblock.HashBlockSize)
	var targets []dmtable.Target
	var hashStart int64
	why := error(nil)
	offset := loopOffset(src)
	switch {
	case src.Copy:
		why = errAsked
	case block < src.BlockSize:
		// verity_ctr (drivers/md/dm-verity-target.c) takes no such blocks.
		why = fmt.Errorf("dm-verity's blocks of %d bytes are smaller than the disk's of %d: %w", block, src.BlockSize, dmtable.ErrUnaligned)
	default:
		// The table is computed for a placeholder first: only a table that works is worth a loop device.
		targets, hashStart, why = dmtable.Linear(placeholder, src.Extents.Shift(-offset), data, hash, src.BlockSize, hashBlock)
	}
	switch {
	case why == nil:
	case src.InPlace:
		return "", 0, fmt.Errorf("cannot use it in place: %w", why)
	case errors.Is(why, errAsked), errors.Is(why, dmtable.ErrUnaligned), errors.Is(why, dmtable.ErrFragmented):
		img.Copied = why
		return img.copy(dev, name, f, src, data, hash)
	default:
		return "", 0, why
	}
	device, err := img.under(dev, f, src, offset)
	if err != nil {
		return "", 0, err
	}
	for i := range targets {
		targets[i].Params = strings.Replace(targets[i].Params, placeholder, device, 1)
	}
	img.Pieces += len(targets)
	info, err := img.create(name, targets)
	if err != nil {
		return "", 0, err
	}
	return fmt.Sprintf("%d:%d", info.Major, info.Minor), hashStart, nil
}

// under returns the device that the table lies on, as MAJOR:MINOR: one of the image's own, or a loop device.
func (img *Image) under(dev string, f *os.File, src Source, offset int64) (string, error) {
	if src.Kind == Own {
		return dm.Number(f)
	}
	// Direct I/O is there so that nothing is held in memory twice; a file in memory is what is held.
	backing, err := loop.Attach(dev, f, loop.Options{DirectIO: src.Kind != InFile, BlockSize: uint32(src.BlockSize), Offset: offset})
	if err != nil {
		return "", err
	}
	img.backing = append(img.backing, backing)
	return fmt.Sprintf("7:%d", backing.Minor), nil
}

// placeholder stands for the loop device in a table that is made before it.
const placeholder = "LOOP"

// loopOffset returns where in the partition the loop device begins. Not at its start: a device that begins with the ESP's boot
// sector has the ESP's UUID for everybody who looks for that, and being read-only would keep the system from writing to its
// own ESP. Not at the image's first byte either, for the same reason; one block before that nothing begins. A file in memory has nothing
// else in it, and an image behind an initramfs begins anywhere: there the device begins with the image.
func loopOffset(src Source) int64 {
	const gap = 4096
	lowest := int64(math.MaxInt64)
	for _, e := range src.Extents {
		lowest = min(lowest, e.Offset)
	}
	switch {
	case src.Kind == Own:
		return 0
	case src.Kind == InFile && len(src.Extents) > 0:
		return lowest
	}
	if len(src.Extents) == 0 || lowest < 2*gap {
		return 0
	}
	return (lowest - gap) / gap * gap
}

// create makes a read-only device mapper device and remembers it.
func (img *Image) create(name string, targets []dmtable.Target) (dm.Info, error) {
	if _, err := img.control.Create(name, ""); err != nil {
		return dm.Info{}, err
	}
	img.names = append(img.names, name)
	if err := img.control.Load(name, true, targets); err != nil {
		return dm.Info{}, err
	}
	if err := img.control.Resume(name); err != nil {
		return dm.Info{}, err
	}
	return img.control.Stat(name)
}

// FileSystem says what the verified device holds, read through dm-verity. It returns an error wrapping [ErrFileSystem] for anything
// that stage 1 does not mount, and the kernel's I/O error where a block is not what was signed.
func (img *Image) FileSystem(dev string) (string, error) {
	f, err := os.Open(dev + "/" + img.Device)
	if err != nil {
		return "", fmt.Errorf("cannot open the verified device: %w", err)
	}
	defer f.Close()
	var fs fsprobe.FS
	if err := img.read(img.Device, func() (err error) {
		fs, err = fsprobe.Probe(f, img.Superblock.DataSize())
		return err
	}); err != nil {
		return "", fmt.Errorf("cannot recognise the file system of the image: %w", err)
	}
	if !Mountable(fs.Type) {
		return "", fmt.Errorf("cannot mount %s: %w", fs.Type, ErrFileSystem)
	}
	return fs.Type, nil
}

// Mountable reports whether images of a file system are mounted: the kernel is asked to mount what is known to be there, and nothing else.
func Mountable(fstype string) bool {
	return fstype == fsprobe.EROFS || fstype == fsprobe.SquashFS || fstype == fsprobe.Ext4
}

// MountDetached mounts the file system of an image as all of them are: detached, read-only and without device nodes.
func MountDetached(fstype, source string) (*mount.Mount, error) {
	r := mount.Request{Type: fstype, Source: source, Attr: mount.ReadOnly | mount.NoDev}
	if fstype == fsprobe.Ext4 {
		// A journal on a read-only device can be neither replayed nor trusted.
		r.Options = []mount.Option{{Key: "noload"}}
	}
	return mount.New(r)
}

// Mount mounts the file system detached, read-only and without device nodes. source is what /proc/mounts will show; it must be a path of the verity device.
func (img *Image) Mount(fstype, source string) (*mount.Mount, error) {
	m, err := MountDetached(fstype, source)
	if err != nil {
		return nil, err
	}
	if img.mount != nil {
		img.mount.Close()
	}
	img.mount = m
	return m, nil
}

// Corrupt reports whether dm-verity has seen a block that is not what was signed.
func (img *Image) Corrupt() bool {
	if img.Device == "" {
		return false
	}
	status, err := img.control.Status(img.names[len(img.names)-1])
	return err == nil && len(status) > 0 && strings.HasPrefix(status[0], "C")
}

// Settle gives the verity device the name and the UUID under which the next init knows it, and the way it shall treat corrupt
// blocks; option is dm-verity's, empty for its default, under which it was brought up. From then on nothing of the image is
// held by this process but the mount: the last user's end takes the devices away, in order.
func (img *Image) Settle(name, option string) error {
	old := img.names[len(img.names)-1]
	if option != "" {
		t := img.table
		t.Options = append(slices.Clone(t.Options), option)
		if err := img.withSignature(&t, func() error {
			return img.control.Load(old, true, []dmtable.Target{{Length: t.Sectors(), Type: "verity", Params: t.Params()}})
		}); err != nil {
			return err
		}
		if err := img.control.Resume(old); err != nil {
			return err
		}
	}
	if err := img.control.Rename(old, name); err != nil {
		return err
	}
	img.names[len(img.names)-1] = name
	uuid := "CRYPT-VERITY-" + strings.ReplaceAll(img.Superblock.UUID.String(), "-", "") + "-" + name
	if err := img.control.SetUUID(name, uuid); err != nil {
		return err
	}
	for i := len(img.names) - 1; i >= 0; i-- {
		if err := img.control.Remove(img.names[i], true); err != nil {
			return err
		}
	}
	return img.closeBacking()
}

func (img *Image) closeBacking() error {
	var errs []error
	for _, b := range img.backing {
		errs = append(errs, b.Close())
	}
	img.backing = nil
	return errors.Join(errs...)
}

// Discard takes the image's mount and devices away. Calling it again is harmless.
func (img *Image) Discard() error {
	var errs []error
	if img.mount != nil {
		errs = append(errs, img.mount.Close())
		img.mount = nil
	}
	for i := len(img.names) - 1; i >= 0; i-- {
		// The kernel may still be busy with the unmount: then the device goes when that is done.
		errs = append(errs, img.control.Remove(img.names[i], true))
	}
	img.names = nil
	errs = append(errs, img.closeBacking())
	return errors.Join(errs...)
}
