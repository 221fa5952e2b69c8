// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"strings"

	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/sysext"
)

// Verdict is what must come of a tampered disk.
type Verdict string

// The verdicts.
const (
	// Refused is an image that is not entered.
	Refused Verdict = "refused"
	// Contained is an image that is entered, and reading what was altered fails: nobody ever gets false data.
	Contained Verdict = "contained"
	// Harmless is an image that is entered, and all its data is what was signed: what was altered is not part of that.
	Harmless Verdict = "harmless"
)

// Layer is what gives the verdict.
type Layer string

// The layers, in the order in which a boot comes by them.
const (
	CommandLine Layer = "command-line" // package plan: who may say what
	Partition   Layer = "partition"    // the disk's partition table: which partition is the boot partition
	FileSystem  Layer = "file-system"  // the FAT and its directories
	Settings    Layer = "settings"     // harmless: initddi.conf was refused, and changed nothing
	Found       Layer = "found"        // the names of files
	File        Layer = "file"         // the FAT's chain of the image file
	Table       Layer = "table"        // the image's partition table
	Beside      Layer = "beside"       // the files beside the image: NAME.roothash, NAME.roothash.p7s, NAME.verity
	Document    Layer = "document"     // the JSON in the signature partition
	Partitions  Layer = "partitions"   // the kinds of partitions in the image
	Signature   Layer = "signature"    // PKCS#7 and the trust store
	RootHash    Layer = "root-hash"    // root hash and partition UUIDs
	Policy      Layer = "policy"       // the image policy
	Denied      Layer = "denied"       // deny-cert, deny-roothash
	Pin         Layer = "pin"          // ddi.roothash=
	Superblock  Layer = "superblock"   // dm-verity's superblock
	Content     Layer = "content"      // which file system is in it, and whether that fits
	Verity      Layer = "verity"       // the hash tree, before anything is entered
	Identity    Layer = "identity"     // what the verified tree says of itself
	Init        Layer = "init"         // the next init
	Late        Layer = "late"         // the hash tree, after the hand-over
	Backup      Layer = "backup"       // harmless: the other copy of a partition table was read
	Unread      Layer = "unread"       // harmless: nobody reads what was altered, or it is not what a decision depends on
	Accepted    Layer = "accepted"     // harmless: it was looked at, and is as good
	Name        Layer = "name"         // extensions: what nothing can be called that is one
	Match       Layer = "match"        // extensions: the system that it is for
	Contents    Layer = "contents"     // extensions: what none may have
	Merge       Layer = "merge"        // extensions: what the kernel or the order of layers does not allow
	Flags       Layer = "flags"        // extensions, contained: how the merged hierarchy is mounted
)

// sentences returns how a refusal by the layer begins, behind the candidate's name, in one of these ways; nil for a layer that refuses nothing.
func (l Layer) sentences() []string {
	switch l {
	case CommandLine:
		return []string{"from the kernel command line: "}
	case Partition:
		return []string{"refused (one-partition)", "cannot find the only EFI system partition"}
	case FileSystem:
		return []string{"refused (file-system): cannot read /dev/"}
	case Found:
		return []string{"refused (found): "}
	case File:
		return []string{"refused (readable): cannot find the blocks of "}
	case Table:
		return []string{"refused (readable): cannot read the image's partition table: "}
	case Beside:
		return []string{"refused (readable): cannot use what lies beside "}
	case Document:
		return []string{"refused (readable): cannot read the signature partition: "}
	case Partitions:
		return []string{"refused (partitions): "}
	case Signature:
		return []string{"refused (signed): "}
	case RootHash:
		return []string{"refused (root-hash): "}
	case Policy:
		return []string{"refused (policy): "}
	case Denied:
		return []string{"refused (denied): "}
	case Pin:
		return []string{"refused (pin): "}
	case Superblock:
		return []string{"refused (readable): cannot use the verity superblock: "}
	case Content:
		return []string{"refused (readable): cannot recognise the file system of the image: "}
	case Verity:
		return []string{"refused (verity): "}
	case Identity:
		return []string{"refused (identity): "}
	case Init:
		return []string{"refused (init): "}
	case Name:
		return []string{"there is no extension of that name", "has a name that no extension can have"}
	case Match:
		return []string{"it is for another system: ", "it does not say which system it is for"}
	case Contents:
		return []string{": no extension may have that"}
	case Merge:
		return []string{"cannot merge into /", "cannot make the mount point ", "cannot use the mount point ", "in the extension tool: "}
	}
	return nil
}

// refuses reports whether the text of a refusal is one by the layer.
func (l Layer) refuses(text string) bool {
	for _, s := range l.sentences() {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// Case is one tampered disk.
type Case struct {
	Name    string
	Group   string
	Doc     string // one line: what was altered
	Verdict Verdict
	Layer   Layer
	// Says is what the refusal, also one of the settings file, must say beyond what its layer always says.
	Says string

	// Disk names the good disk that is altered (goodDisks); default "plain".
	Disk string
	// DDI alters the image on it, Volume the disk around it.
	DDI    func(*DDI)
	Volume func(*Disk)
	// Extension alters an extension in a directory instead ([TryTree]), of the class Class, which is a sysext if nothing is said.
	Extension func(*Extension)
	Class     layers.Class
	// Merged looks at the system that it was merged into; if that keeps it from doing what it is made for, it returns what it said.
	Merged func(root string) (contained string, err error)
	// Search says that it is about where extensions lie, Options how they are merged: both matter in a running system only.
	Search  bool
	Options *sysext.Options
	// Identity says that a merge in a running system may change what the system says it is. Root says that it takes the machine's root.
	Identity, Root bool

	// Image says that it is the image which is judged, as that of an extension, and not a boot from the disk.
	Image bool

	// Cmdline is added to the kernel's, Config to stage 1's own settings; "{roothash}" stands for the good image's.
	Cmdline string
	Config  []string
	// Trust names the keys whose certificates stage 1 trusts; nil is "ddi".
	Trust []string

	// Boot has the program boot a machine with the disk. Test makes that one of the few boots that every run of the tests does.
	Boot, Test bool
	// DirectVerdict and DirectLayer are what the judge without a kernel must say where that differs: it reads less of an
	// accepted image than mounting it does. Of an extension they are what must come of it in a running system, where less is at stake.
	DirectVerdict Verdict
	DirectLayer   Layer
}

// direct returns what the judge without a kernel must say.
func (c *Case) direct() (Verdict, Layer) {
	v, l := c.Verdict, c.Layer
	if c.DirectVerdict != "" {
		v, l = c.DirectVerdict, c.DirectLayer
	}
	return v, l
}
