// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package gpt

import (
	"fmt"

	"github.com/initddi/initddi/internal/guid"
)

// Designator is what a discoverable partition is for, by the name that systemd's image policies use.
type Designator string

// The designators. Generic is none of systemd's: it is the type of Linux file systems at large, which systemd takes for
// a root file system where there is no other.
const (
	Root          Designator = "root"
	RootVerity    Designator = "root-verity"
	RootVeritySig Designator = "root-verity-sig"
	Usr           Designator = "usr"
	UsrVerity     Designator = "usr-verity"
	UsrVeritySig  Designator = "usr-verity-sig"
	Home          Designator = "home"
	Srv           Designator = "srv"
	ESP           Designator = "esp"
	XBOOTLDR      Designator = "xbootldr"
	Swap          Designator = "swap"
	Tmp           Designator = "tmp"
	Var           Designator = "var"
	Generic       Designator = "linux-generic"
)

// Arch is an architecture by systemd's name, as in ARCHITECTURE= of an extension-release file.
type Arch string

// The architectures whose partition types are known; NoArch is that of the types which have none.
const (
	NoArch Arch = ""
	X86_64 Arch = "x86-64"
	ARM64  Arch = "arm64"
)

// ArchOf returns systemd's name for a value of runtime.GOARCH; ok is false for one that is not known here.
func ArchOf(goarch string) (a Arch, ok bool) {
	switch goarch {
	case "amd64":
		return X86_64, true
	case "arm64":
		return ARM64, true
	}
	return NoArch, false
}

// types is the Discoverable Partitions Specification's table. Text rather than [guid.GUID], so that it costs nothing at
// program start and can be searched for.
var types = [...]struct {
	designator Designator
	arch       Arch
	guid       string
}{
	{Root, X86_64, "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"},
	{RootVerity, X86_64, "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"},
	{RootVeritySig, X86_64, "41092b05-9fc8-4523-994f-2def0408b176"},
	{Usr, X86_64, "8484680c-9521-48c6-9c11-b0720656f69e"},
	{UsrVerity, X86_64, "77ff5f63-e7b6-4633-acf4-1565b864c0e6"},
	{UsrVeritySig, X86_64, "e7bb33fb-06cf-4e81-8273-e543b413e2e2"},
	{Root, ARM64, "b921b045-1df0-41c3-af44-4c6f280d3fae"},
	{RootVerity, ARM64, "df3300ce-d69f-4c92-978c-9bfb0f38d820"},
	{RootVeritySig, ARM64, "6db69de6-29f4-4758-a7a5-962190f00ce3"},
	{Usr, ARM64, "b0e01050-ee5f-4390-949a-9101b17104e9"},
	{UsrVerity, ARM64, "6e11a4e7-fbca-4ded-b9e9-e1a512bb664e"},
	{UsrVeritySig, ARM64, "c23ce4ff-44bd-4b00-b2d4-b41b3419e02a"},
	{Home, NoArch, "933ac7e1-2eb4-4f13-b844-0e14e2aef915"},
	{Srv, NoArch, "3b8f8425-20e0-4f3b-907f-1a25a76f98e8"},
	{ESP, NoArch, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"},
	{XBOOTLDR, NoArch, "bc13c2ff-59e6-4262-a352-b275fd6f7172"},
	{Swap, NoArch, "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"},
	{Tmp, NoArch, "7ec6f557-3bc5-4aca-b293-16ef5df639d1"},
	{Var, NoArch, "4d21b016-b534-45c2-a9fb-5c16e091fd2d"},
	{Generic, NoArch, "0fc63daf-8483-4772-8e79-3d69d8477de4"},
}

// TypeOf returns the partition type for d on architecture a; a does not matter where the type is the same for all. ok is
// false for a designator or an architecture that is not known.
func TypeOf(d Designator, a Arch) (t guid.GUID, ok bool) {
	for i := range types {
		if e := &types[i]; e.designator == d && (e.arch == a || e.arch == NoArch) {
			g, err := guid.Parse(e.guid)
			return g, err == nil
		}
	}
	return guid.GUID{}, false
}

// Lookup is the inverse of [TypeOf]: a is [NoArch] where the type is the same for all architectures, ok is false for a
// type that is not in the table.
func Lookup(t guid.GUID) (d Designator, a Arch, ok bool) {
	text := t.String()
	for i := range types {
		if e := &types[i]; e.guid == text {
			return e.designator, e.arch, true
		}
	}
	return "", NoArch, false
}

// RootHashUUIDs returns the partition UUIDs that the Discoverable Partitions Specification derives from a verity root
// hash: data has its first 16 bytes, hash its last 16. It takes hashes of 32 to 64 bytes: below, the two would overlap,
// and SHA-512 is the longest that dm-verity uses.
func RootHashUUIDs(roothash []byte) (data, hash guid.GUID, err error) {
	if n := len(roothash); n < 32 || n > 64 {
		return data, hash, fmt.Errorf("cannot derive partition UUIDs: root hash has %d bytes, want 32 to 64", n)
	}
	copy(data[:], roothash)
	copy(hash[:], roothash[len(roothash)-16:])
	return data, hash, nil
}
