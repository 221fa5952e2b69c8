// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package policy is systemd's image policy (systemd.image-policy(7), as of version 262): which partitions an image may or must
// have, and what protects them.
//
// A [Policy] is a value; two are == when they say the same thing with the same rules, and [Equivalent] when the same images
// pass. [And] narrows one by another. Whoever asks what a policy allows asks [Policy.Flags], which gives the answer with
// everything filled in that the text left out; the zero Policy uses nothing of any image. The package reads no image and
// decides nothing about one: package resolve does, with what is said here.
package policy

import (
	"math/bits"
	"slices"

	"github.com/initddi/initddi/internal/gpt"
)

// Flags is what a rule allows: a set of uses, of values of two bits of the partition table, and of file systems. A set with
// nothing in it stands for all.
type Flags uint32

// The uses. A partition that is there must be used in one of the ways of the rule; Unused and Absent are the ways out.
const (
	Verity                 Flags = 1 << iota // with dm-verity
	Signed                                   // with dm-verity, its root hash signed
	Encrypted                                // with LUKS
	EncryptedWithIntegrity                   // with LUKS and dm-integrity
	Unprotected                              // with none of them
	Unused                                   // it is there and nobody looks at it
	Absent                                   // it is not there
)

// The bits of the partition table.
const (
	ReadOnlyOff Flags = 1 << (iota + 7)
	ReadOnlyOn
	GrowFSOff
	GrowFSOn
)

// The file systems.
const (
	Btrfs Flags = 1 << (iota + 11)
	Erofs
	Ext4
	F2fs
	Squashfs
	Vfat
	Xfs
)

// Sets of flags.
const (
	Ignore = Unused | Absent
	Open   = Verity | Signed | Encrypted | EncryptedWithIntegrity | Unprotected | Ignore

	Uses        = Open
	ReadOnly    = ReadOnlyOff | ReadOnlyOn
	GrowFS      = GrowFSOff | GrowFSOn
	FileSystems = Btrfs | Erofs | Ext4 | F2fs | Squashfs | Vfat | Xfs
)

// designators are the partitions that rules speak of, in systemd's order, which is that of rules in a policy's text.
var designators = [...]gpt.Designator{
	gpt.Root, gpt.Usr, gpt.Home, gpt.Srv, gpt.ESP, gpt.XBOOTLDR, gpt.Swap,
	gpt.RootVerity, gpt.UsrVerity, gpt.RootVeritySig, gpt.UsrVeritySig, gpt.Tmp, gpt.Var,
}

// Designators returns the partitions that a policy can speak of.
func Designators() []gpt.Designator { return slices.Clone(designators[:]) }

// indexOf returns the place of a designator, -1 for one that no policy knows.
func indexOf(d gpt.Designator) int { return slices.Index(designators[:], d) }

// Policy is an image policy. The zero value is "-": nothing of an image is used.
type Policy struct {
	rules [len(designators)]Flags
	// has says, a bit each, for which designators there is a rule; one without flags allows all.
	has uint16
	// other is the rule for the rest, if hasOther is set, and [Ignore] else. It is never set to just that, so that "-" and
	// "=ignore" are the same value.
	other    Flags
	hasOther bool
}

// All is the policy "*": whatever an image has may be used in any way.
func All() Policy { return Policy{other: Open, hasOther: true} }

func (p *Policy) set(i int, f Flags) {
	p.rules[i] = f
	p.has |= 1 << i
}

func (p *Policy) setOther(f Flags) {
	p.other, p.hasOther = f, f != Ignore
	if !p.hasOther {
		p.other = 0
	}
}

func (p Policy) written(i int) (Flags, bool) { return p.rules[i], p.has&(1<<i) != 0 }

// rest is the rule for what no rule speaks of.
func (p Policy) rest() Flags {
	if p.hasOther {
		return p.other
	}
	return Ignore
}

// Flags returns what the policy allows for a partition, with nothing left to be filled in: uses and bits are given in full, and
// no file system means any. A designator that policies do not know gets none, which is a rule that nothing can keep.
func (p Policy) Flags(d gpt.Designator) Flags {
	i := indexOf(d)
	if i < 0 {
		return 0
	}
	if f, ok := p.explicit(i, d); ok {
		return f
	}
	return normal(p.rest(), d)
}

// explicit returns what the rules say about a partition, not counting the one for the rest. The rule of a file system goes for its hash tree and
// its signature as well: where verity may be used they are needed, and they may be missing where the file system may be.
func (p Policy) explicit(i int, d gpt.Designator) (Flags, bool) {
	if f, ok := p.written(i); ok {
		return normal(f, d), true
	}
	data, needs := protects(d)
	if data == "" {
		return 0, false
	}
	f, ok := p.explicit(indexOf(data), data)
	if !ok || f&needs == 0 {
		return 0, false
	}
	return normal(Unprotected|f&(Ignore|ReadOnly|GrowFS), d), true
}

// protects returns which file system a hash tree or a signature belongs to and the uses that need it; data is empty for
// other partitions.
func protects(d gpt.Designator) (data gpt.Designator, needs Flags) {
	switch d {
	case gpt.RootVerity:
		return gpt.Root, Verity | Signed
	case gpt.UsrVerity:
		return gpt.Usr, Verity | Signed
	case gpt.RootVeritySig:
		return gpt.Root, Signed
	case gpt.UsrVeritySig:
		return gpt.Usr, Signed
	}
	return "", 0
}

// fill puts all of a set in place of a set without anything in it.
func fill(f Flags) Flags {
	for _, set := range [...]Flags{Uses, ReadOnly, GrowFS} {
		if f&set == 0 {
			f |= set
		}
	}
	return f
}

// normal fills a rule in and takes out what makes no sense for the partition.
func normal(f Flags, d gpt.Designator) Flags {
	f = fill(f)
	if data, _ := protects(d); data != "" {
		// It is the protection, and has none of its own.
		f &^= Verity | Signed | Encrypted | EncryptedWithIntegrity
	}
	if d != gpt.Root && d != gpt.Usr {
		f &^= Verity | Signed
	}
	if f&Uses == Absent {
		f &^= ReadOnly | GrowFS
	}
	return f
}

// Equivalent reports whether the same images pass, however the two are written.
func Equivalent(a, b Policy) bool {
	if fill(a.rest()) != fill(b.rest()) {
		return false
	}
	for _, d := range designators {
		if a.Flags(d) != b.Flags(d) {
			return false
		}
	}
	return true
}

// FileSystem returns the flag of a file system's type, 0 for one that rules cannot name.
func FileSystem(fstype string) Flags {
	if f, ok := flagOf(fstype); ok && f&FileSystems != 0 {
		return f
	}
	return 0
}

// AllowsFileSystem reports whether the set of file systems in f, which may be empty and then allows all, has fstype.
func (f Flags) AllowsFileSystem(fstype string) bool {
	return f&FileSystems == 0 || f&FileSystem(fstype) != 0
}

// each returns the single flags in f, lowest first.
func (f Flags) each() []Flags {
	var out []Flags
	for f != 0 {
		bit := Flags(1) << bits.TrailingZeros32(uint32(f))
		out = append(out, bit)
		f &^= bit
	}
	return out
}
