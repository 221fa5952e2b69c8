// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"github.com/initddi/initddi/internal/attempt"
	"github.com/initddi/initddi/internal/extent"
	"github.com/initddi/initddi/internal/floor"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/osrelease"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/signature"
)

// Facts is what is known about this machine and about the images on it, without an opinion. It grows with every [Action]
// that was carried out and with every device that appears.
type Facts struct {
	Firmware   Firmware    `json:"firmware"`
	Partitions []Partition `json:"partitions"`
	// Initrd is what the boot loader left in memory and could be an image: files of the initramfs.
	Initrd *Listing `json:"initrd,omitempty"`
	// Pmem are the devices of persistent memory.
	Pmem []Device `json:"pmem,omitempty"`
	// Servers is what a server offers, by the source that it is; nothing as long as it was not asked.
	Servers map[plan.Source]*Listing `json:"servers,omitempty"`
	// Settings is what is known of initddi.conf on the boot partition, nil as long as nobody has read it.
	Settings *Settings `json:"-"`
	// Floor is the rollback floor of this machine, nil as long as nobody has read it.
	Floor *floor.Floor `json:"-"`
	// Images holds what is known of each candidate, by its name ([Candidate.Name]).
	Images map[string]*Image `json:"images,omitempty"`
	// Settled says that every driver that was wanted has been loaded and that no device has appeared for a while. Only
	// then does "the only one" mean anything.
	Settled bool `json:"settled"`
	// Late says that the boot partition could have appeared by now: if nothing says which one it is, and that it must be there, other
	// sources may be looked at. TimeUp says that nothing is waited for any more.
	Late   bool `json:"late,omitempty"`
	TimeUp bool `json:"time_up,omitempty"`
	// Kernel is known when its device mapper is there.
	Kernel Kernel `json:"kernel"`
	// Record is what became of earlier boots; it orders what is acceptable and has no say in what is.
	Record attempt.Record `json:"record"`
}

// Partition returns the partition that is called node, nil if there is none.
func (f *Facts) Partition(node string) *Partition {
	for i := range f.Partitions {
		if f.Partitions[i].Node == node {
			return &f.Partitions[i]
		}
	}
	return nil
}

// Firmware is what the boot loader left in EFI variables (Boot Loader Interface).
type Firmware struct {
	EFI bool `json:"efi"`
	// BootPartition is the partition the UKI was loaded from, zero if no variable says so; Variable is which one did.
	BootPartition guid.GUID `json:"boot_partition"`
	Variable      string    `json:"variable,omitempty"`
	// SecureBoot is whether the firmware verified what it started; nil if it does not say.
	SecureBoot *bool `json:"secure_boot,omitempty"`
	// UKI is the path of the running UKI on that partition.
	UKI string `json:"uki,omitempty"`
}

// Partition is a partition of a disk of this machine.
type Partition struct {
	Node       string    `json:"node"` // the device's name below /dev
	Disk       string    `json:"disk"` // the disk's
	Number     int       `json:"number"`
	Type       guid.GUID `json:"type"`
	UUID       guid.GUID `json:"uuid"`
	Label      string    `json:"label,omitempty"` // name in the partition table
	Size       int64     `json:"size"`            // in bytes
	SectorSize int64     `json:"sector_size"`     // logical block size of the disk in bytes
	Start      int64     `json:"start"`           // where on the disk it begins, in bytes
	DiskSize   int64     `json:"disk_size"`       // in bytes
	// WWID is the name that the disk says it has in all the world, as the kernel writes it ("naa.…"); empty if it says none. Where is its
	// path in sysfs: whether that name can be believed depends on what it hangs on.
	WWID    string   `json:"wwid,omitempty"`
	Where   string   `json:"where,omitempty"`
	Listing *Listing `json:"listing,omitempty"`
}

// Designator returns what the partition is for, empty where its type says nothing.
func (p Partition) Designator() gpt.Designator {
	d, _, _ := gpt.Lookup(p.Type)
	return d
}

// Listing is the files that a source has: a partition's FAT file system in the directories that were asked for, the initramfs, a server.
type Listing struct {
	FileSystem string `json:"file_system,omitempty"` // of a partition: "FAT12", "FAT16", "FAT32"
	Label      string `json:"label,omitempty"`
	Files      []File `json:"files,omitempty"`
	// Dirs are the directories that were read.
	Dirs []string `json:"-"`
	// Err says why the file system cannot be read, or the server gives no answer.
	Err error `json:"-"`
}

// File is a file that may be an image.
type File struct {
	// Path is from the root of the partition or of the initramfs, with '/' at the front, in the case it has on disk; of a file on a server
	// it is the name alone.
	Path string `json:"path"`
	Size int64  `json:"size"` // in bytes, 0 if a server does not say
	URL  string `json:"url,omitempty"`
}

// Image is what is known of one candidate.
type Image struct {
	// Extents are where the image's bytes lie on the partition or the device, or in the file: its own, and behind them those of the hash tree
	// beside it, if there is one.
	Extents extent.List `json:"-"`
	// Table is nil for a file system without a partition table.
	Table *gpt.Table `json:"-"`
	// Signature is what the signature partition says, nil if there is none.
	Signature *signature.Document `json:"-"`
	Beside    Beside              `json:"-"`
	// Err says why the image could not be read or brought up, Unreached that it was not had at all: a server did not deliver it.
	Err       error `json:"-"`
	Unreached bool  `json:"-"`

	Authentic *Authentic `json:"-"` // after Authenticate
	Device    string     `json:"-"` // after Attach: the dm-verity device
	Tree      *Tree      `json:"-"` // after Mount
	Refusal   *Refusal   `json:"-"`

	// Extensions are what is known of the extensions of a boot image, by their names ([Candidate.Name]); Extension is, after Mount, the tree
	// of an image that is one.
	Extensions map[string]*Image `json:"-"`
	Extension  *ExtensionTree    `json:"-"`
	found      *foundExtensions
}

// Forget drops what nobody asks for any more after the image was refused. How much that is, whoever wrote the file decided.
func (img *Image) Forget() {
	img.Extents, img.Table, img.Signature, img.Beside = nil, nil, nil, Beside{}
}

// Beside is what the files beside an image NAME.raw say, as systemd-dissect looks for them.
type Beside struct {
	// Designator is [gpt.Root] for NAME.roothash and NAME.roothash.p7s, [gpt.Usr] for NAME.usrhash and NAME.usrhash.p7s, and
	// empty if there are none of them.
	Designator gpt.Designator
	RootHash   []byte // nil if nothing says it
	Signature  []byte // DER, nil if there is none
	// Tree is the size of the hash tree, NAME.verity; 0 if there is none.
	Tree int64
	// Files are the paths of those that are there.
	Files []string
}

// Tree is what the verified file system says of itself.
type Tree struct {
	// Designator is what the image is the file system of. A /usr is entered on a root in memory.
	Designator gpt.Designator
	FileSystem string
	// Kind follows from /etc/initrd-release alone, as for systemd.
	Kind plan.Kind
	// OSRelease is /etc/os-release, else /usr/lib/os-release; nil if there is neither.
	OSRelease osrelease.Fields
	HasOS     bool
	// Extension is true if the tree carries an extension-release file and thus was made to be merged, not booted.
	Extension string
	// Init is the first of the plan's inits that exists and can be executed, empty if none does.
	Init string
	// RootDir is a directory in the tree of a /usr that only a root has, empty if there is none. Which of the two an image is, its
	// partition table says, and nobody signs that.
	RootDir string
	// MissingDirs are directories the hand-over needs and the tree does not have.
	MissingDirs []string
}

// ExtensionTree is what the verified tree of an extension says of itself.
type ExtensionTree struct {
	FileSystem string
	// Arch is the architecture that extensions must be for, if they are for one.
	Arch gpt.Arch
	// Release is its extension-release, Err why there is none that can be read.
	Release osrelease.Fields
	Err     error
	// Forbidden is what it has that would change what the system says it is, or pretend to be a merge; empty if nothing.
	Forbidden string
}
