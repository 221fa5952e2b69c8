// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package guest is what the init of a test image tells the host about the machine that it was handed.
//
// The program is in the directory marker. It writes one line of JSON to the second serial port and powers off; what is in
// that line is [Facts]. It gathers, and judges nothing: that is for the cells of package vmtest, on the host.
package guest

import "encoding/json"

// Port is where the facts are written: the second serial port, so that nothing the kernel prints comes in between.
const Port = "/dev/ttyS1"

// Sentence is what the init writes to the console before anything else.
const Sentence = "marker: entered as process"

// ProofDirs are where extensions of test images have a file that shows that they were merged.
func ProofDirs() []string { return []string{"/usr/share/proof", "/opt/proof", "/etc/proof"} }

// Facts is the state of the machine when the next init began.
type Facts struct {
	PID     int      `json:"pid"`
	Args    []string `json:"args"`
	Env     []string `json:"env"`
	Kernel  string   `json:"kernel"`
	Cmdline string   `json:"cmdline"`
	// Uptime is CLOCK_BOOTTIME in microseconds.
	Uptime int64 `json:"uptime_us"`
	// Read are the bytes that the kernel had read from each disk until then, by node name.
	Read map[string]int64 `json:"read"`
	// Disks says where each of those disks is, as a path below /sys/devices.
	Disks map[string]string `json:"disks"`
	// Partitions are the nodes of all partitions.
	Partitions []string `json:"partitions"`
	// FDs are the descriptors the process was started with, and what they are.
	FDs map[int]string `json:"fds"`
	// Cwd and Root are the working directory and what /proc says of the root.
	Cwd    string  `json:"cwd"`
	Mounts []Mount `json:"mounts"`
	DM     []DM    `json:"dm"`
	Loops  []Loop  `json:"loops"`
	// Processes are the others, without the kernel's threads: their command lines.
	Processes []string `json:"processes"`
	Modules   []string `json:"modules"`
	// SHA256 is the driver that the kernel prefers for that algorithm, by /proc/crypto.
	SHA256 string `json:"sha256"`
	// Boot is /run/initddi/boot.json as it was found.
	Boot json.RawMessage `json:"boot"`
	// Record is the EFI variable with the record of attempts as this boot left it.
	Record []byte `json:"record,omitempty"`
	// RootEntries are the names in the root directory.
	RootEntries []string `json:"root_entries"`
	// Extra are the files below /.extra.
	Extra []string `json:"extra"`
	// Proofs are the files in the directories [ProofDirs], by path: what extensions of test images bring.
	Proofs map[string]string `json:"proofs,omitempty"`
	// Credentials are the names in /run/credstore.encrypted.
	Credentials []string `json:"credentials"`
	// ESP is what came of mounting the boot partition read-write and writing to it: "rw", "no vfat" where the image has no
	// driver for this kernel, or an error.
	ESP string `json:"esp"`
	// Holders are the devices that sysfs names as made from the boot partition; none keep the system from using it.
	Holders      []string `json:"holders"`
	MemAvailable int64    `json:"mem_available_kb"`
	WriteToRoot  string   `json:"write_to_root"` // the error of trying
	// Payload is what was got of the file at PayloadPath; nil where the image has none.
	Payload       *PayloadFacts `json:"payload,omitempty"`
	RunIsWritable bool          `json:"run_is_writable"`
	TPM           *TPM          `json:"tpm,omitempty"` // nil where the kernel has none
	// Errors are what could not be found out.
	Errors []string `json:"errors,omitempty"`
}

// TPM is what is in the TPM, and what is told of it.
type TPM struct {
	// PCRs are the values of PCRs 11, 12 and 13 by bank ("sha256") and number, as sysfs has them, in small letters.
	PCRs map[string]map[int]string `json:"pcrs"`
	// Log is systemd's log of measurements, LogMode its mode in octal.
	Log     []byte `json:"log"`
	LogMode string `json:"log_mode"`
	// Unsealed is what tpm2_unseal writes, with its complaints, about the secret with the handle [SealedHandle]; empty where the
	// image does not have that program.
	Unsealed string `json:"unsealed"`
}

// SealedHandle is where a cell that seals something puts it.
const SealedHandle = "0x81000100"

// Mount is a line of /proc/self/mountinfo.
type Mount struct {
	Path    string `json:"path"`
	Root    string `json:"root"` // directory of the file system that is mounted
	Type    string `json:"type"`
	Source  string `json:"source"`
	Options string `json:"options"` // of the mount
	Super   string `json:"super"`   // of the file system
	Device  string `json:"device"`  // MAJOR:MINOR
}

// DM is a device mapper device.
type DM struct {
	Node string `json:"node"`
	Name string `json:"name"`
	UUID string `json:"uuid"`
	// ReadOnly and Slaves are as in sysfs.
	ReadOnly bool     `json:"read_only"`
	Slaves   []string `json:"slaves"`
}

// Loop is a loop device that is in use.
type Loop struct {
	Node      string `json:"node"`
	Backing   string `json:"backing"`
	AutoClear bool   `json:"autoclear"`
	ReadOnly  bool   `json:"read_only"`
	DirectIO  bool   `json:"dio"`
	Offset    int64  `json:"offset"`
}

// At returns what is mounted at path, nil if nothing is; the topmost if there are several.
func (f *Facts) At(path string) *Mount {
	for i := len(f.Mounts) - 1; i >= 0; i-- {
		if f.Mounts[i].Path == path {
			return &f.Mounts[i]
		}
	}
	return nil
}
