// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/plan"
)

// Where disks are that more than one path can lead to, and where some that must not be taken for such.
const (
	onSAS      = "devices/pci0000:00/0000:00:03.0/0000:02:00.0/host0/port-0:0/end_device-0:0/target0:0:0/0:0:0:0/block/"
	onVirtio   = "devices/pci0000:00/0000:00:04.0/virtio1/host2/target2:0:0/2:0:0:0/block/"
	onNVMe     = "devices/pci0000:00/0000:00:05.0/nvme/nvme0/"
	onUSB      = "devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host4/target4:0:0/4:0:0:0/block/"
	onFireWire = "devices/pci0000:00/0000:00:1e.0/fw1/fw1.0/host5/target5:0:0/5:0:0:0/block/"
	onATA      = "devices/pci0000:00/0000:00:1f.2/ata1/host6/target6:0:0/6:0:0:0/block/"
)

// wwn is a name of a SAS disk.
const wwn = "naa.5000c50015ea71ac"

// over is the ESP of a disk with a name, as one path shows it.
func over(disk, wwid, where string) Partition {
	p := espOn(disk, uuid1)
	p.Start, p.DiskSize, p.WWID, p.Where = 1<<20, 1<<31, wwid, where+disk
	return p
}

// TestSameDisk: what is one disk over two paths is taken, and nothing else.
func TestSameDisk(t *testing.T) {
	for _, test := range []struct {
		name, wwid, where string
		change            func(*Partition)
		same              bool
	}{
		{"a SAS disk with two ports", wwn, onSAS, nil, true},
		{"a LUN", "naa.600140500000000000000000deadbeef", onVirtio, nil, true},
		{"an old array's", "naa.20000004cf7baf2c", onSAS, nil, true},
		{"by EUI-64", "eui.0123456789abcdef", onVirtio, nil, true},
		{"NVMe without its own multipath", "uuid.f5b0ac38-ff34-4c7d-9d5f-5fb8d4a3b7ae", onNVMe, nil, true},

		{"another name, as copies and both halves of a mirror have", wwn, onSAS, func(p *Partition) { p.WWID = "naa.5000c50015ea71ad" }, false},
		{"a name and none", wwn, onSAS, func(p *Partition) { p.WWID = "" }, false},
		{"no names", "", onSAS, nil, false},
		{"zeros", "eui.0000000000000000", onSAS, nil, false},
		{"zeros behind the kind", "naa.5000000000000000", onSAS, nil, false},
		{"no digits", "naa.", onSAS, nil, false},
		{"a name that the site gave", "naa.3000000000000001", onSAS, nil, false},
		{"vendor and serial number", "t10.ATA     QEMU HARDDISK   QM00005", onSAS, nil, false},
		{"vendor and serial number of NVMe", "nvme.1b36-6469736b31-51454d55-00000001", onNVMe, nil, false},
		{"an iSCSI name", "iqn.2003-01.org.example:x", onVirtio, nil, false},
		{"both on USB", wwn, onUSB, nil, false},
		{"one on USB", wwn, onSAS, func(p *Partition) { p.Where = onUSB + "sdb" }, false},
		{"one on FireWire", wwn, onSAS, func(p *Partition) { p.Where = onFireWire + "sdb" }, false},
		{"one on ATA", wwn, onSAS, func(p *Partition) { p.Where = onATA + "sdb" }, false},
		{"on nothing that is known", wwn, "devices/platform/x/block/", nil, false},
		{"nowhere", wwn, onSAS, func(p *Partition) { p.Where = "" }, false},

		{"another size of the disk", wwn, onSAS, func(p *Partition) { p.DiskSize += 512 }, false},
		{"other sectors", wwn, onSAS, func(p *Partition) { p.SectorSize = 4096 }, false},
		{"another place", wwn, onSAS, func(p *Partition) { p.Start += 512 }, false},
		{"another size", wwn, onSAS, func(p *Partition) { p.Size += 512 }, false},
		{"another number", wwn, onSAS, func(p *Partition) { p.Number++ }, false},
		{"another type", wwn, onSAS, func(p *Partition) { p.Type = typeOf(t, gpt.Root) }, false},
		{"two partitions of one disk", wwn, onSAS, func(p *Partition) { p.Disk = "sda" }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := over("sda", test.wwid, test.where), over("sdb", test.wwid, test.where)
			if test.change != nil {
				test.change(&b)
			}
			for _, parts := range [][]Partition{{a, b}, {b, a}} {
				f := &Facts{Settled: true, Partitions: parts, Firmware: Firmware{BootPartition: uuid1, Variable: "V"}}
				want, paths := "refused: one-partition PARTUUID="+uuid1.String()+" (V)", []string(nil)
				if test.same {
					want, paths = "list-partition sda1 /loader/ddi", []string{"sda1", "sdb1"}
				}
				s := wantStep(t, &plan.Plan{}, f, want)
				if !test.same && (s.Refused == nil || !strings.Contains(s.Refused[0].Error(), "ddi.device=/dev/NAME can name it")) {
					t.Errorf("no refusal says what tells copies apart: %+v", s.Refused)
				}
				for _, node := range []string{"sda1", "sdb1"} {
					if got := Paths(f, node); !slices.Equal(got, paths) {
						t.Errorf("the paths of %s are %q, want %q", node, got, paths)
					}
				}
			}
		})
	}
	if got := Paths(&Facts{}, "sda1"); got != nil {
		t.Errorf("of nothing: %q", got)
	}
}

// TestPathOrder: the kernel's order, and rather one that answered than one in front of it.
func TestPathOrder(t *testing.T) {
	sda, sdb, sdaa := over("sda", wwn, onSAS), over("sdb", wwn, onSAS), over("sdaa", wwn, onSAS)
	with := func(p Partition, l *Listing) Partition {
		p.Listing = l
		return p
	}
	good, bad := &Listing{Label: "BOOT", Files: filesOf("/loader/ddi/os.raw")}, &Listing{Err: errors.New("I/O error")}
	stranger := over("sdc", "naa.5000c50015ea71ad", onSAS)
	other := espOn("vda", uuid2)
	const only = "the only EFI system partition (no EFI variable names one)"
	named := plan.Device{PartUUID: uuid1}
	for _, test := range []struct {
		name    string
		device  plan.Device
		parts   []Partition
		settled bool
		want    string
	}{
		{"as the kernel counts", named, []Partition{sdaa, sdb}, false, "list-partition sdb1 /loader/ddi"},
		{"one that is at work already", named, []Partition{sda, with(sdb, good)}, false, "read-image sdb1 /loader/ddi/os.raw"},
		{"one that failed", named, []Partition{with(sda, bad), sdb}, false, "list-partition sdb1 /loader/ddi"},
		{"all failed", named, []Partition{with(sda, bad), with(sdb, bad)}, false, "refused: file-system /dev/sda1"},
		{"the only ESP waits for other disks", plan.Device{}, []Partition{sda, sdb}, false, "missing: the other disks, to know that /dev/sda1 is " + only},
		{"the only ESP", plan.Device{}, []Partition{sda, sdb}, true, "list-partition sda1 /loader/ddi"},
		{"two paths and another ESP", plan.Device{}, []Partition{sda, sdb, other}, true, "refused: one-partition " + only},
		{"two ESPs on disks that are one by name", plan.Device{}, []Partition{sda, func() Partition { p := sdb; p.UUID = uuid2; return p }()}, true, "refused: one-partition " + only},
		{"two paths and a copy", named, []Partition{sda, sdb, stranger}, true, "refused: one-partition PARTUUID=" + uuid1.String() + " (ddi.device=)"},
		{"a copy in front of two paths", named, []Partition{stranger, sda, sdb}, true, "refused: one-partition PARTUUID=" + uuid1.String() + " (ddi.device=)"},
		{"one by its name", plan.Device{Node: "sdb1"}, []Partition{sda, sdb, stranger}, true, "list-partition sdb1 /loader/ddi"},
		{"a copy by its disk's name", plan.Device{Node: "sdc"}, []Partition{sda, sdb, stranger}, true, "list-partition sdc1 /loader/ddi"},
		{"PARTLABEL", plan.Device{PartLabel: "esp"}, []Partition{sda, sdb}, true, "list-partition sda1 /loader/ddi"},
		{"LABEL, over the path that answers", plan.Device{Label: "BOOT"}, []Partition{with(sda, bad), with(sdb, good)}, true, "read-image sdb1 /loader/ddi/os.raw"},
		{"LABEL, over both", plan.Device{Label: "BOOT"}, []Partition{with(sda, good), with(sdb, good)}, true, "read-image sda1 /loader/ddi/os.raw"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := &Facts{Settled: test.settled, Partitions: test.parts, Images: map[string]*Image{}}
			wantStep(t, &plan.Plan{Device: test.device}, f, test.want)
		})
	}
}

// TestPathDies: what cannot be read over one path is read over the next, with nothing of it left behind; what is refused is refused.
func TestPathDies(t *testing.T) {
	const v2, v1 = "/loader/ddi/os_2.raw", "/loader/ddi/os_1.raw"
	ours, stranger := newSigner(t, "ours"), newSigner(t, "stranger")
	p := trusting(ours)
	listing := &Listing{Files: filesOf(v2, v1)}
	f := &Facts{Settled: true, Images: map[string]*Image{}, Partitions: []Partition{over("sdb", wwn, onSAS), over("sdc", wwn, onSAS)}, Firmware: Firmware{BootPartition: uuid1}}
	f.Partitions[0].Listing = listing
	dead := errors.New("input/output error")
	read := func(node, file string, by *signer) *Image {
		t.Helper()
		wantStep(t, p, f, "read-image "+node+" "+file)
		img := ddi(t, hashOf(file), by)
		img.Authentic, img.Refusal = Authenticate(p, node+":"+file, gpt.X86_64, img)
		f.Images[node+":"+file] = img
		return img
	}

	// It dies when the newest is read.
	read("sdb1", v2, ours).Err = dead
	wantStep(t, p, f, "list-partition sdc1 /loader/ddi")
	f.Partitions[1].Listing = listing
	// What was found over the other path is final, and the next image begins anew.
	read("sdc1", v2, stranger)

	// It dies when the image's devices are there.
	img := read("sdb1", v1, ours)
	img.Device = "dm-1"
	wantStep(t, p, f, "mount sdb1 "+v1)
	img.Err = dead
	wantStep(t, p, f, "discard sdb1 "+v1)
	img.Device = ""
	img = read("sdc1", v1, ours)

	// One that comes late takes nothing over from one that is at work.
	late := over("sda", wwn, onSAS)
	late.Listing = listing
	f.Partitions = append(f.Partitions, late)
	wantStep(t, p, f, "attach sdc1 "+v1)
	f.Partitions = f.Partitions[:2]

	// Over no path: each image is refused once.
	img.Err = dead
	refusals := func() {
		t.Helper()
		var got []string
		for _, r := range Next(p, f).Refused {
			got = append(got, string(r.Rule)+" "+r.Candidate)
		}
		if want := []string{"signed sdc1:" + v2, "readable sdb1:" + v1}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	refusals()
	// The other path's file system cannot be read: it leads nowhere.
	delete(f.Images, "sdc1:"+v1)
	wantStep(t, p, f, "read-image sdc1 "+v1)
	f.Partitions[1].Listing = &Listing{Err: dead}
	refusals()
}
