// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/resolve"
)

// RefusedError says that every candidate of every source was refused. Late is what did not appear in time, nil if everything did.
type RefusedError struct {
	Refusals []resolve.Refusal
	Late     *TimeoutError
}

func (e *RefusedError) Error() string {
	var lines []string
	for i := range e.Refusals {
		if e.Refusals[i].Rule == resolve.RuleMissing && e.Late != nil {
			lines = append(lines, e.Late.Error())
			continue
		}
		lines = append(lines, e.Refusals[i].Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns what did not appear in time, if that is one of the reasons.
func (e *RefusedError) Unwrap() error {
	if e.Late == nil {
		return nil
	}
	return e.Late
}

// TimeoutError says that storage did not appear.
type TimeoutError struct {
	Missing    string
	After      time.Duration
	Partitions []resolve.Partition
	Disks      map[string]error // disks without a usable partition table
	Ignored    error            // partitions that are not what their disk's table says, joined; nil if there are none
	Modules    []string         // what became of modules that could not be loaded
	Undriven   []string         // modaliases of devices without a driver
	Classes    []string         // driver classes that this stage 1 carries
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("cannot find %s: nothing appeared in %s", e.Missing, e.After)
}

// Details returns what was seen instead, one line a fact, what matters most first.
func (e *TimeoutError) Details() []string {
	var out []string
	for _, p := range e.Partitions {
		out = append(out, fmt.Sprintf("seen: /dev/%s PARTUUID=%s %s %q", p.Node, p.UUID, p.Designator(), p.Label))
	}
	if e.Ignored != nil {
		for line := range strings.SplitSeq(e.Ignored.Error(), "\n") {
			out = append(out, "seen: "+line)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.Disks)) {
		out = append(out, fmt.Sprintf("seen: /dev/%s: %v", name, e.Disks[name]))
	}
	out = append(out, e.Modules...)
	carries := strings.Join(e.Classes, ", ")
	if carries == "" {
		carries = "no drivers at all"
	}
	var others []string
	for _, m := range e.Undriven {
		switch {
		case isStorage(m):
			not := ""
			if class := classOf(m); class != "" && !slices.Contains(e.Classes, class) {
				not = ", not " + class
			}
			out = append(out, fmt.Sprintf("no driver for %s; this stage 1 carries %s%s", m, carries, not))
		case !slices.Contains(others, m):
			others = append(others, m)
		}
	}
	if len(e.Undriven) > 0 && !slices.ContainsFunc(e.Undriven, isStorage) {
		out = append(out, "every controller of disks has a driver; this stage 1 carries "+carries)
	}
	// There are dozens of them on every machine.
	line := ""
	for i, m := range others {
		line += " " + m
		if len(line) > detailWidth || i == len(others)-1 {
			out = append(out, "no driver, and no disk as a rule:"+line)
			line = ""
		}
	}
	return out
}

// detailWidth is where a line with many devices ends.
const detailWidth = 120

// classOf returns the driver class that a device most likely needs, as "initddi initramfs --class" calls it; empty where its
// modalias leaves several.
func classOf(modalias string) string {
	bus, rest, _ := strings.Cut(modalias, ":")
	switch {
	case bus == "virtio" && isStorage(modalias):
		return "virtio"
	case bus == "usb" && isStorage(modalias), bus == "pci" && strings.Contains(rest, "bc0Csc03"):
		return "usb"
	case bus == "mmc", bus == "pci" && strings.Contains(rest, "bc08sc05"):
		return "mmc"
	case bus == "pci" && (strings.Contains(rest, "bc01sc06") || strings.Contains(rest, "bc01sc01")):
		return "sata"
	case bus == "pci" && strings.Contains(rest, "bc01sc08"):
		return "nvme"
	case bus == "vmbus":
		return "hyperv"
	case bus == "xen":
		return bus
	}
	return ""
}

// isStorage reports whether a modalias is that of something a disk may hang on: PCI mass storage controllers, USB host
// controllers and USB mass storage, virtio block and SCSI, SD hosts, SCSI disks.
func isStorage(modalias string) bool {
	bus, rest, _ := strings.Cut(modalias, ":")
	switch bus {
	case "pci":
		return strings.Contains(rest, "bc01") || strings.Contains(rest, "bc0Csc03") || strings.Contains(rest, "bc08sc05") || strings.HasPrefix(rest, "v00001AF4")
	case "usb":
		return strings.Contains(rest, "ic08")
	case "virtio":
		return strings.HasPrefix(rest, "d00000002") || strings.HasPrefix(rest, "d00000008")
	case "scsi":
		return !strings.HasPrefix(rest, "t-0x05") // a drive for CDs
	case "mmc", "sdio", "vmbus", "xen", "nvme", "nd":
		return true
	}
	return false
}

// isNetwork reports whether a modalias is that of a network card: PCI's class of network controllers, virtio's number 1. A card on another
// bus gets its driver at once, like everything else.
func isNetwork(modalias string) bool {
	bus, rest, _ := strings.Cut(modalias, ":")
	return bus == "pci" && strings.Contains(rest, "bc02") || bus == "virtio" && strings.HasPrefix(rest, "d00000001v")
}

// onlyDisks reports whether a modalias is that of something on which nothing but a disk may hang: what [isStorage] has without USB hosts and
// the buses of hypervisors.
func onlyDisks(modalias string) bool {
	bus, rest, _ := strings.Cut(modalias, ":")
	switch bus {
	case "pci":
		return strings.Contains(rest, "bc01") || strings.Contains(rest, "bc08sc05")
	case "usb", "virtio", "scsi", "mmc", "nvme", "nd":
		return isStorage(modalias)
	}
	return false
}

// EnterError says that the hand-over failed. If Lost is set the initramfs was given up already.
type EnterError struct {
	Lost bool
	Err  error
}

func (e *EnterError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *EnterError) Unwrap() error { return e.Err }

// StuckError says that the kernel waits, in the loading of these modules, for a device that does not answer. Nothing ends the threads that
// load them, and while there is one no other program can take this one's place.
type StuckError struct{ Modules []string }

func (e *StuckError) Error() string {
	return "cannot hand over: a device does not answer, and keeps the kernel from finishing with module " + strings.Join(e.Modules, ", ")
}

// SilentError says that an action did not come back, because the disk that it reads from does not answer.
type SilentError struct {
	Action *resolve.Action
	After  time.Duration
}

func (e *SilentError) Error() string {
	what := "its device does not answer"
	if e.Action.Partition != "" {
		what = "/dev/" + e.Action.Partition + " does not answer"
	}
	return fmt.Sprintf("cannot %s %s: nothing has come of it for %s: %s", e.Action.Verb, e.Action.Name(), e.After, what)
}

// StackError says that what every image needs of the kernel is not there: loop devices, the device mapper, dm-verity.
type StackError struct{ Err error }

func (e *StackError) Error() string { return "cannot use any image: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *StackError) Unwrap() error { return e.Err }
