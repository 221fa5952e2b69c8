// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package vmtest is the boot matrix: a table of machines, each with a disk that is good or broken in one way, and what stage 1
// must do on it.
//
// A cell is data: which stage 1, which images on which disks, which command line, the sentences the console must show, and
// whether the boot may end in the image, in a refusal or in a shell. Images, stages 1 and kernels have names, and are tables
// too. To add a cell, add an entry to a cellsXxx function and, if it needs one that is not there, to images or stages; the
// test of this package says what was forgotten. A new group is a file cells_GROUP.go whose functions are named in tables.go.
//
//	just matrix --list             what there is
//	just matrix --only GROUP       one group, or one cell by its name
//	just matrix --only test        the few that the tests boot
//
// The machines run the real thing: an unmodified Debian kernel, the archive that "initddi initramfs" makes, images that
// "initddi ddi" makes. To be fast, most boot the kernel directly, without firmware, and their image holds one small init
// (package guest) that reports what it was handed. A boot without firmware has no EFI variables, so stage 1 waits a moment to
// know that a disk is the only one.
package vmtest

import (
	"context"
	"time"

	"github.com/initddi/initddi/internal/initramfs"
	"github.com/initddi/initddi/internal/swtpm"
	"github.com/initddi/initddi/vmtest/guest"
)

// Verdict is how a boot ends.
type Verdict string

// The verdicts.
const (
	Entered Verdict = "entered" // the image's init ran
	Refused Verdict = "refused" // stage 1 said "cannot boot", why, and ended the machine
	Shell   Verdict = "shell"   // somebody left the debug shell by ending the machine, and no image's init ran
	// Restarted is a machine that dm-verity restarted, because something read a block that is not what was signed.
	Restarted Verdict = "restarted"
	// Panicked is one that dm-verity had the kernel panic for the same reason, as ddi.corruption=panic asks.
	Panicked Verdict = "panicked"
	// Neither is a boot that did none of this: a hang, a panic, silence. No cell expects it.
	Neither Verdict = "neither"
)

// Firmware is what starts the kernel.
type Firmware string

// The firmwares.
const (
	// Direct is QEMU itself (-kernel): fast, and without EFI variables.
	Direct Firmware = ""
	// SecureBoot is OVMF with our key enrolled; the kernel comes in a signed UKI on the first disk's ESP.
	SecureBoot Firmware = "secureboot"
	// UEFI is OVMF without Secure Boot, for what that of Debian has no machine for.
	UEFI Firmware = "uefi"
	// BIOS is SeaBIOS; syslinux starts the kernel from the first disk's ESP. There are no EFI variables.
	BIOS Firmware = "bios"
	// HTTPBoot is Debian 13's OVMF that fetches the machine's disk (Web.Disk) from the cell's web server, into memory.
	HTTPBoot Firmware = "httpboot"
	// SecureHTTPBoot is the same with Secure Boot, which fetches the UKI alone (Web.UKI).
	SecureHTTPBoot Firmware = "secureboot-http"
)

// DefaultLimit ends a cell that does not end by itself. Under emulation a boot to a marker takes five seconds on an idle machine.
const DefaultLimit = 120 * time.Second

// Cell is one machine and what must come of booting it.
//
// In Cmdline, Must and MustNot, "{roothash NAME}" stands for the root hash of an image, as it does in [Stage1.Set], and "{release NAME}", also in the
// path of a [Place], for the release of a kernel.
type Cell struct {
	Name  string `json:"name"`
	Group string `json:"group"`
	Doc   string `json:"doc"` // one line: what is shown
	// Test says that the cell is one of the few that every run of the tests boots; "test" is their group, beside their own.
	Test bool `json:"test,omitempty"`

	Firmware Firmware `json:"firmware,omitempty"`
	// Vendor has the firmware trust, beside our key, the one that the vendor of the kernel signed it by.
	Vendor bool `json:"vendor,omitempty"`
	// Kernel names the kernel of a direct boot, and of the UKI: "cloud" (default) and "generic" are Debian's, "template" is that of
	// templates/kernel, and "template-ramdisk" the same with CONFIG_BLK_DEV_RAM.
	Kernel string `json:"kernel,omitempty"`
	Stage1 string `json:"stage1,omitempty"` // default "minimal"
	// Stub names the systemd-stub of the UKI; default "13", Debian 13's. "12" is Debian 12's, "262" a newer one.
	Stub string `json:"stub,omitempty"`
	// Cmdline is added to the command line that every cell has (baseCmdline).
	Cmdline string `json:"cmdline,omitempty"`
	CPUs    int    `json:"cpus,omitempty"` // default 1
	// NoConsole has the kernel told of a console that the machine does not have. What the guest finds is all that is seen of it.
	NoConsole bool   `json:"no_console,omitempty"`
	Disks     []Disk `json:"disks,omitempty"`
	// Delivered is what the boot loader leaves in memory beside stage 1, for a direct boot.
	Delivered []Delivered `json:"delivered,omitempty"`
	// Ready boots a disk that the build has made instead of Disks; with firmware the UKI and the command line are those on it.
	Ready       string            `json:"ready,omitempty"`
	Credentials map[string]string `json:"credentials,omitempty"`
	// SMBIOS are strings of type 11 that the machine's owner sets, to be read by systemd-stub.
	SMBIOS []string `json:"smbios,omitempty"`
	// Network is what the machine's network cards are connected to; nil is a machine without.
	Network *Network `json:"network,omitempty"`
	// TPM is an emulated TPM; nil is a machine without.
	TPM *TPM `json:"tpm,omitempty"`
	// PolicyKey names the key that signs the values of PCR 11 which the UKI leads to, for what is sealed to that key's signature.
	PolicyKey string `json:"policy_key,omitempty"`
	// Afterwards is added to the UKI's command line when that has been done, so that the key's signature does not fit.
	Afterwards string `json:"afterwards,omitempty"`
	// Keep gives the machine disks of its own, on which what is written stays for the boots of Again and for After.
	Keep bool `json:"keep,omitempty"`
	// After judges the disks when the machine has ended.
	After func(disks []string) []string `json:"-"`
	// Unchanged are files on the first disk's ESP that every boot must leave as they were, byte for byte.
	Unchanged []string `json:"unchanged,omitempty"`
	// Dialogue is what a person at the console does.
	Dialogue []Line `json:"dialogue,omitempty"`
	// Meanwhile is done before the first line is typed, to the files of the machine's disks, which are private then.
	Meanwhile func(disks []string) error `json:"-"`

	Verdict Verdict `json:"verdict"`
	// Must are sentences that the console must show in this order, MustNot ones that it must not show at all.
	Must    []string `json:"must"`
	MustNot []string `json:"must_not,omitempty"`
	// Check judges what the marker reported; Report what another guest wrote to the second serial port.
	Check  func(*guest.Facts) []string `json:"-"`
	Report func(string) []string       `json:"-"`
	// Served judges what the servers of the network wrote, by their names in package netlab.
	Served func(logs map[string]string) []string `json:"-"`
	// Layer names what must give the verdict, and Look judges the console by it, where the sentences alone cannot.
	Layer string                `json:"layer,omitempty"`
	Look  func(string) []string `json:"-"`

	// Again are further boots of the same machine: what its firmware stored is still there, and nothing else.
	Again []Again `json:"again,omitempty"`

	Limit time.Duration `json:"limit,omitempty"`
}

// Again is one more boot of a machine.
type Again struct {
	// Prepare does something to the machine's TPM before it.
	Prepare func(ctx context.Context, t *swtpm.TPM) error `json:"-"`
	// Alter does something to its disks.
	Alter  func(ctx context.Context, w *Workshop, disks []string) error `json:"-"`
	SMBIOS []string                                                     `json:"smbios,omitempty"`
	// Dialogue is what a person at the console does this time.
	Dialogue []Line                      `json:"dialogue,omitempty"`
	Verdict  Verdict                     `json:"verdict"`
	Must     []string                    `json:"must"`
	MustNot  []string                    `json:"must_not,omitempty"`
	Check    func(*guest.Facts) []string `json:"-"`
	Report   func(string) []string       `json:"-"`
	// Web is what the web server has now; nil is what it had at first.
	Web    *Web                                  `json:"web,omitempty"`
	Served func(logs map[string]string) []string `json:"-"`
}

// Line is one exchange on the console: when it shows Wait, behind what the last line waited for, Type is typed, with Enter.
type Line struct {
	Wait string `json:"wait"`
	Type string `json:"type"`
}

// Disk is a disk with an ESP, or one that is a volume as a whole.
type Disk struct {
	// Volume names what is on a disk without a partition table. Nothing else is said of it then but its Bus.
	Volume string `json:"volume,omitempty"`
	// Parts are further partitions.
	Parts      []Part `json:"parts,omitempty"`
	Bus        string `json:"bus,omitempty"` // default virtio
	SectorSize int    `json:"sector_size,omitempty"`
	// Attached is the sector size of the device, where that is another than the one its partition table was made for.
	Attached int `json:"attached,omitempty"`
	// Size is that of the disk in bytes; 0 is as large as needed.
	Size int64 `json:"size,omitempty"`
	// Place is what lies on the ESP.
	Place []Place `json:"place,omitempty"`
	// Seed tells the disks of one machine apart: all their UUIDs come from it.
	Seed int `json:"seed,omitempty"`
	// Fragments splits each image into that many pieces.
	Fragments   int   `json:"fragments,omitempty"`
	ESPSize     int64 `json:"esp_size,omitempty"`
	ClusterSize int64 `json:"cluster_size,omitempty"`
	FATType     int   `json:"fat,omitempty"`
	// Label is that of the ESP's file system.
	Label string `json:"label,omitempty"`
	// Extended is what lies on an XBOOTLDR partition behind the ESP, if anything does. There the UKI is too, and systemd-boot on the ESP.
	Extended []Place `json:"extended,omitempty"`
	// Loader has the firmware start systemd-boot, and that the UKI, as /EFI/Linux/initddi.efi, or another.
	Loader bool `json:"loader,omitempty"`
	// Late is how long after stage 1 has begun the disk is plugged in.
	Late time.Duration `json:"late,omitempty"`
	// ReadBurst is how many bytes the disk gives as fast as ever; afterwards it is one a second, so that it does not answer. 0 is no limit.
	ReadBurst int64 `json:"read_burst,omitempty"`
	// Wakes is what the console says when a disk with a ReadBurst or a Rate begins to answer as fast as ever.
	Wakes string `json:"wakes,omitempty"`
	// Rate is how many bytes of the disk can be read in a second; 0 is no limit. Linux reads some pages of 4096 to find partitions.
	Rate int64 `json:"rate,omitempty"`
	// WWN is the name that the disk says it has. Disks with one name and one content are one disk over several paths.
	WWN uint64 `json:"wwn,omitempty"`
	// Alter changes the finished disk, a copy that is this machine's alone.
	Alter func(file string) error `json:"-"`
}

// Place is a file on the ESP: an image, some text, an addon, a kernel, a stage 1 or a UKI.
type Place struct {
	Path  string `json:"path"`
	Image string `json:"image,omitempty"`
	Text  string `json:"text,omitempty"`
	// SignedBy names the key with which the text is signed, into a file beside it.
	SignedBy string `json:"signed_by,omitempty"`
	// Addon is the command line of a signed addon.
	Addon string `json:"addon,omitempty"`
	// Kernel names a kernel, which is as its vendor signed it, Stage1 a stage 1 for the cloud kernel: what kexec is given.
	Kernel string `json:"kernel,omitempty"`
	Stage1 string `json:"stage1,omitempty"`
	// UKI names the stage 1 of a signed UKI, Cmdline is what its command line has beside what every cell's has.
	UKI     string `json:"uki,omitempty"`
	Cmdline string `json:"cmdline,omitempty"`
}

// Image is a boot image, or something that is nearly one.
type Image struct {
	Name string `json:"name"`
	// Tree names what is in it (trees); default "marker".
	Tree string `json:"tree,omitempty"`
	// FileSystem is erofs (default), squashfs or ext4.
	FileSystem string `json:"file_system,omitempty"`
	// Key names whose key signs it: "ddi", which every stage 1 trusts that says nothing else, or "stranger". Empty is unsigned.
	Key string `json:"key,omitempty"`
	// Usr makes an image of the tree's /usr alone; Bare one without a partition table, with its files beside it on the ESP.
	Usr  bool `json:"usr,omitempty"`
	Bare bool `json:"bare,omitempty"`
	// Arch is the architecture of the partition types; default x86-64. With names an image whose partitions come before this
	// one's in the same file.
	Arch string `json:"arch,omitempty"`
	With string `json:"with,omitempty"`
	// SectorSize is that of the image's partition table; default 512.
	SectorSize int64 `json:"sector_size,omitempty"`
	// DataBlockSize is what dm-verity hashes at once, in bytes; default 4096.
	DataBlockSize uint32 `json:"data_block_size,omitempty"`
	// Compress is mkfs.erofs's -z; default is that of "initddi ddi".
	Compress string `json:"compress,omitempty"`
	// Version goes into os-release as IMAGE_VERSION, and makes the root hash another.
	Version string `json:"version,omitempty"`
	// Release are more lines of os-release; with VERSION_ID= among them that is not 13.
	Release string `json:"release,omitempty"`
	// Files are the texts of files in a tree of kind "files", by path; below usr/bin they are programs.
	Files map[string]string `json:"files,omitempty"`
	// Random adds a file of so many bytes that cannot be compressed to such a tree.
	Random int64 `json:"random,omitempty"`
	// Ready is an image that the build has made, or that the Justfile's Recipe makes if it has not.
	Ready  string `json:"ready,omitempty"`
	Recipe string `json:"recipe,omitempty"`
	// From names an image this one is a copy of, before Damage.
	From string `json:"from,omitempty"`
	// Damage changes the finished image.
	Damage func(file string) error `json:"-"`
}

// Stage1 is what "initddi initramfs" is told.
type Stage1 struct {
	Name    string   `json:"name"`
	Config  string   `json:"config,omitempty"` // of templates/mkuimage.yaml; default "minimal"
	Classes []string `json:"classes,omitempty"`
	// Modules are carried besides, Firmware are files that they ask for, by their names, of so many zeros.
	Modules  []string       `json:"modules,omitempty"`
	Firmware map[string]int `json:"firmware,omitempty"`
	// Host is the captured machine that it is for, and no other.
	Host string `json:"host,omitempty"`
	// Compression is that of the archive; the default is none for a kernel that QEMU starts, zstd in a UKI.
	Compression initramfs.Compression `json:"compression,omitempty"`
	FileSystems []string              `json:"file_systems,omitempty"` // default erofs
	// Image names one that lies in the archive.
	Image string `json:"image,omitempty"`
	// Trust names keys whose certificates are the trust store; nil is "ddi". An empty list trusts nobody.
	Trust []string `json:"trust,omitempty"`
	// Set are lines of stage1.conf; default "id=debian".
	Set []string `json:"set,omitempty"`
	// Broken names a module whose file is cut off.
	Broken string `json:"broken,omitempty"`
	// CA names the authority that may sign the certificates of https servers: "web" is that of [Web.TLS].
	CA string `json:"ca,omitempty"`
}
