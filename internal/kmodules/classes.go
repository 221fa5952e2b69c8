// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package kmodules

import "strings"

// Class is a kind of device, of storage or of network cards, and the modules that drive it. To carry another kind, add a line to Classes.
type Class struct {
	Name        string
	Description string // for the person in front of a machine whose disk did not appear
	// Drivers are the modules of which the kernel must have at least one, as a module or built in.
	Drivers []string
	// With are modules without which the drivers lead to no disk, or to fewer. They do not make a class by themselves:
	// every kernel has sd_mod, and Debian's cloud kernel has nothing to attach a USB disk to. Kernels differ in which of
	// them exist, so that none is required.
	With []string
}

// IsNetwork reports whether these are network cards, which only some sources of images need.
func (c Class) IsNetwork() bool { return c.Name == "net" || strings.HasPrefix(c.Name, "net-") }

// Classes returns all classes.
//
// Each module is loaded only where a device asks for it, so what a class costs a machine without such devices is the
// space in stage 1. The dependencies, which are often the larger part, are not listed: libata and scsi_mod, virtio and
// virtio_ring (built into Debian's 6.12 kernels, modules in 6.1), and t10_pi with the four CRC modules below it that
// sd_mod and nvme_core need in Debian's generic 6.1.
//
// As of Debian 12 and 13, the cloud kernels have NVMe built in, no USB, MMC, MPT or MegaRAID at all, and the one of Debian
// 12 has ata_piix but not ahci.
func Classes() []Class {
	return []Class{
		// virtio_mmio is for microvm and firecracker machines, which have no PCI.
		{"virtio", "virtio disks (QEMU/KVM and most clouds)", []string{"virtio_blk", "virtio_scsi"},
			[]string{"virtio_pci", "virtio_mmio", "sd_mod"}},
		// vmd hides the NVMe disks of many laptops and servers with Intel processors behind a bridge of its own.
		{"nvme", "NVMe disks", []string{"nvme"}, []string{"vmd"}},
		{"sata", "SATA and IDE disks (AHCI, Intel PIIX)", []string{"ahci", "ata_piix"}, []string{"ahci_platform", "sd_mod"}},
		// Of the USB 1 controllers only uhci_hcd: QEMU's pc machine has one, and nothing else, with -usb.
		{"usb", "USB disks", []string{"usb_storage", "uas"},
			[]string{"xhci_pci", "xhci_pci_renesas", "ehci_pci", "uhci_hcd", "sd_mod"}},
		{"scsi", "SCSI disks (Symbios 53C8xx)", []string{"sym53c8xx"}, []string{"sd_mod"}},
		// mmc_block is asked for by the alias "mmc:block" that the MMC core gives to cards.
		{"mmc", "SD cards and eMMC (SDHCI)", []string{"sdhci_pci", "sdhci_acpi"}, []string{"mmc_block"}},
		// pci_hyperv brings the NVMe disks of newer Azure machines, together with class nvme.
		{"hyperv", "Hyper-V and Azure disks", []string{"hv_storvsc"}, []string{"hv_vmbus", "pci_hyperv", "sd_mod"}},
		{"vmware", "VMware paravirtual SCSI disks", []string{"vmw_pvscsi"}, []string{"sd_mod"}},
		{"mpt", "LSI/Broadcom Fusion-MPT SCSI and SAS disks", []string{"mptspi", "mptsas", "mpt3sas"}, []string{"sd_mod"}},
		{"megaraid", "LSI/Broadcom MegaRAID disks", []string{"megaraid_sas"}, []string{"sd_mod"}},
		// What drove Adaptec's, Microchip's and HPE's controllers before smartpqi, and Broadcom's since mpt3sas and megaraid_sas.
		{"raid", "RAID controllers of servers (HPE Smart Array, Microchip SmartRAID, Adaptec, Broadcom 9600)",
			[]string{"smartpqi", "hpsa", "aacraid", "mpi3mr"}, []string{"sd_mod"}},
		// QLogic's adapters before the 2400 series need firmware.
		{"fc", "disks behind Fibre Channel adapters (Emulex, QLogic)", []string{"lpfc", "qla2xxx"}, []string{"sd_mod"}},
		{"ufs", "UFS, the flash memory of tablets and small laptops", []string{"ufshcd_pci"}, []string{"sd_mod"}},
		{"xen", "Xen virtual disks", []string{"xen_blkfront"}, nil},
		// What no disk hangs on, but what is entered is measured into. Debian's kernels have it built in.
		{"tpm", "TPM 2.0 chips (CRB, TIS)", []string{"tpm_crb", "tpm_tis"}, nil},
		{"pmem", "persistent memory", []string{"nd_pmem"}, []string{"nd_e820", "nfit", "virtio_pmem"}},
		// What most machines have, real and virtual. r8169 asks the kernel for the driver of its transceiver, and there is nobody whom
		// that could ask.
		{"net", "network cards (virtio, Intel, Realtek, Broadcom Gigabit, VMware, Hyper-V, Xen, Amazon, Google)",
			[]string{"virtio_net", "e1000", "e1000e", "igb", "igc", "r8169", "tg3", "vmxnet3", "hv_netvsc", "xen_netfront", "ena", "gve"},
			[]string{"virtio_pci", "virtio_mmio", "hv_vmbus", "pci_hyperv", "realtek", "8139cp", "8139too"}},
		{"net-server", "network cards of servers (10 Gbit/s and more)",
			[]string{"ixgbe", "i40e", "ice", "bnx2x", "bnxt_en", "mlx4_en", "mlx5_core", "be2net", "qede", "enic", "cxgb4", "sfc"}, []string{"mlx4_core", "iavf", "ixgbevf"}},
		{"net-usb", "USB network cards", []string{"cdc_ether", "cdc_ncm", "r8152", "ax88179_178a", "asix", "smsc95xx", "lan78xx"},
			[]string{"xhci_pci", "xhci_pci_renesas", "ehci_pci", "uhci_hcd", "rndis_host", "r8153_ecm", "ax88796b", "smsc", "microchip"}},
	}
}

// IsApart reports whether a class is only taken by its name, or because a machine asks for it: hundreds of kilobytes, for which few
// machines have a use.
func (c Class) IsApart() bool { return c.Name == "raid" || c.Name == "fc" }

// ClassNames returns the names of all classes.
func ClassNames() []string { return classNames(func(Class) bool { return true }) }

// StorageClassNames returns the names of the classes that are not of network cards.
func StorageClassNames() []string { return classNames(func(c Class) bool { return !c.IsNetwork() }) }

// UsualClassNames returns the names of those of them that are not apart.
func UsualClassNames() []string {
	return classNames(func(c Class) bool { return !c.IsNetwork() && !c.IsApart() })
}

func classNames(take func(Class) bool) []string {
	var out []string
	for _, c := range Classes() {
		if take(c) {
			out = append(out, c.Name)
		}
	}
	return out
}

// Feature is something that stage 1 does with modules that no device asks for. Each must be there, as a module or built in,
// for the feature to be.
type Feature struct {
	Name    string
	Modules []string // and algorithms, with modtable.CryptoPrefix
}

// Features returns all features.
//
// There is no modprobe in stage 1, so whatever the kernel would ask it for has to be loaded before it asks: the driver
// behind /dev/loop-control, the device mapper target "verity", a file system before its first mount, an algorithm before
// it is allocated. vfat is not among them, because stage 1 reads the ESP without mounting it.
func Features() []Feature {
	return []Feature{
		{"loop", []string{"loop"}},
		{"dm", []string{"dm_mod"}}, // with the target "linear"
		{"verity", []string{"dm_verity", "crypto-sha256"}},
		{"erofs", []string{"erofs"}},
		{"squashfs", []string{"squashfs"}},
		{"ext4", []string{"ext4"}},
		{"overlay", []string{"overlay"}},
		{"efivarfs", []string{"efivarfs"}},
		{"packet", []string{"af_packet"}}, // DHCP
		{"vlan", []string{"8021q"}},
		{"nbd", []string{"nbd"}}, // for ddi.source=nbd
	}
}

// NetworkFeatures returns those of them that go with network cards.
func NetworkFeatures() []string { return []string{"packet", "vlan", "nbd"} }

// FeatureNames returns the names of all features.
func FeatureNames() []string {
	var out []string
	for _, f := range Features() {
		out = append(out, f.Name)
	}
	return out
}

// algorithm is a crypto algorithm that something in stage 1 allocates by name.
type algorithm struct {
	name string
	// fast are modules for some processors, in order of preference. Those without a "cpu:" alias run on every processor of
	// their architecture.
	fast []string
	// portable are the names that the implementation in C had; only the first that exists is taken.
	portable []string
	// accelerate says that a module from fast is worth loading when the kernel has the portable one built in.
	accelerate bool
}

// algorithms returns the algorithms. One that is not listed cannot be had in stage 1 unless it is built in.
//
// sha256: dm-verity takes the best implementation that is registered when its table is loaded, and keeps it; Debian has
// sha256_generic built in (for module signatures) and sha256_ssse3, which has AVX2 and SHA-NI too, as a module. Since 6.16
// the kernel's library picks the instructions by itself and there is nothing to load.
//
// crc32c: libcrc32c (which erofs needs before 6.14) does not load without any, ext4 does not mount. Debian's generic kernels
// have none built in, the cloud kernels crc32c_generic, and then another module is not worth its time: erofs computes one
// checksum, of its superblock.
func algorithms() []algorithm {
	return []algorithm{
		{name: "sha256", fast: []string{"sha256_ssse3", "sha2_ce", "sha256_arm64", "sha256_s390"},
			portable: []string{"sha256_generic", "sha256"}, accelerate: true},
		{name: "crc32c", fast: []string{"crc32c_intel"}, portable: []string{"crc32c_generic", "crc32c_cryptoapi", "crc32c"}},
	}
}

// findAlgorithm returns the algorithm that a softdep or a feature means: "crc32c" and "crypto-crc32c" are both aliases of the
// modules that implement it.
func findAlgorithm(word string) (algorithm, bool) {
	word = strings.TrimPrefix(word, "crypto-")
	for _, a := range algorithms() {
		if a.name == word {
			return a, true
		}
	}
	return algorithm{}, false
}

// isModalias reports whether an alias is one that a device may have: "BUS:...". The others are what the kernel asks modprobe
// for: "fs-ext4", "crypto-sha256", "block-major-7-*", "devname:loop-control".
func isModalias(alias string) bool {
	bus, _, ok := strings.Cut(alias, ":")
	return ok && bus != "devname"
}
