// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package kmodules

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeSys is a /sys with a USB disk behind a hub, a virtio disk, an NVMe disk with two controllers, and a TPM.
func fakeSys(t *testing.T) *os.Root {
	t.Helper()
	dir := t.TempDir()
	device := func(name, modalias, bus, driver, module string) {
		writeFile(t, dir, name+"/uevent", nil)
		if modalias != "" {
			writeFile(t, dir, name+"/modalias", []byte(modalias+"\n"))
		}
		if bus == "" {
			return
		}
		up := strings.Repeat("../", strings.Count(name, "/")+1)
		link(t, dir, "bus/"+bus+"/devices/"+filepath.Base(name), "../../../"+name)
		if driver == "" {
			return
		}
		link(t, dir, name+"/driver", up+"bus/"+bus+"/drivers/"+driver)
		writeFile(t, dir, "bus/"+bus+"/drivers/"+driver+"/uevent", nil)
		if module != "" {
			writeFile(t, dir, "module/"+module+"/uevent", nil)
			link(t, dir, "bus/"+bus+"/drivers/"+driver+"/module", "../../../../module/"+module)
		}
	}
	block := func(name string) {
		writeFile(t, dir, name+"/size", []byte("2048\n"))
		link(t, dir, "class/block/"+filepath.Base(name), "../../"+name)
	}
	const usb = "devices/pci0000:00/0000:00:04.0/usb1/1-1/1-1.1/1-1.1:1.0"
	device("devices/pci0000:00/0000:00:04.0", "pci:v00008086d00002934sv0sd0bc0Csc03i20", "pci", "ehci-pci", "ehci_pci")
	device(strings.TrimSuffix(usb, "/1-1.1/1-1.1:1.0"), "", "usb", "usb", "usbcore")
	device(usb, "usb:v46F4p0001d0000dc00dsc00dp00ic08isc06ip50in00", "usb", "usb-storage", "usb_storage")
	device(usb+"/host2/target2:0:0/2:0:0:0", "scsi:t-0x00", "scsi", "sd", "sd_mod")
	block(usb + "/host2/target2:0:0/2:0:0:0/block/sda")
	block(usb + "/host2/target2:0:0/2:0:0:0/block/sda/sda1")
	device("devices/pci0000:00/0000:00:02.0", "pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00", "pci", "virtio-pci", "virtio_pci")
	device("devices/pci0000:00/0000:00:02.0/virtio1", "virtio:d00000002v00001AF4", "virtio", "virtio_blk", "virtio_blk")
	block("devices/pci0000:00/0000:00:02.0/virtio1/block/vda")
	for i, slot := range []string{"05", "06"} {
		controller := fmt.Sprintf("devices/pci0000:00/0000:00:%s.0/nvme/nvme%d", slot, i)
		device("devices/pci0000:00/0000:00:"+slot+".0", "pci:v0000144Dd0000A80Asv0sd0bc01sc08i02", "pci", "nvme", "nvme")
		writeFile(t, dir, controller+"/cntlid", nil)
		link(t, dir, fmt.Sprintf("devices/virtual/nvme-subsystem/nvme-subsys0/nvme%d", i), "../../../../"+controller)
	}
	block("devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1")
	block("devices/virtual/block/dm-0")
	const card = "devices/pci0000:00/0000:00:08.0/mmc_host/mmc0/mmc0:4567"
	device("devices/pci0000:00/0000:00:08.0", "pci:v00001B36d00000007sv0sd0bc08sc05i01", "pci", "sdhci-pci", "sdhci_pci")
	device(card, "", "mmc", "mmcblk", "")
	writeFile(t, dir, card+"/uevent", []byte("DRIVER=mmcblk\nMMC_TYPE=SD\nMODALIAS=mmc:block\n"))
	block(card + "/block/mmcblk0")
	fakeBoard(t, dir, device, block)
	device("devices/LNXSYSTM:00/MSFT0101:00", "acpi:MSFT0101:", "acpi", "", "")
	writeFile(t, dir, "devices/system/cpu/modalias", []byte("cpu:type:x86,ven0000fam0006mod0055:feature:,0089\n"))
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

// fakeBoard adds an SD host of a board: its clocks come over I2C from a chip that needs a regulator, which in turn has a clock.
func fakeBoard(t *testing.T, dir string, device func(name, modalias, bus, driver, module string), block func(name string)) {
	t.Helper()
	const board = "devices/platform/soc"
	device(board+"/sd@1", "of:NmmcT(null)Cboard,sd", "platform", "board-sd", "board_sd")
	device(board+"/i2c@2", "of:Ni2cT(null)Cboard,i2c", "platform", "board-i2c", "board_i2c")
	device(board+"/i2c@2/i2c-0/0-0020", "of:NclockT(null)Cchip,clock", "i2c", "chip-clock", "chip_clock")
	device(board+"/regulator@3", "of:NregT(null)Cboard,reg", "platform", "board-reg", "board_reg")
	device(board+"/later@4", "of:NlaterT(null)Cboard,later", "platform", "later", "later")
	supply := func(supplier, consumer, name, syncStateOnly string) {
		l := "devices/virtual/devlink/" + name
		writeFile(t, dir, l+"/sync_state_only", []byte(syncStateOnly+"\n"))
		link(t, dir, l+"/supplier", "../../../../"+supplier)
		link(t, dir, l+"/consumer", "../../../../"+consumer)
		link(t, dir, consumer+"/supplier:"+filepath.Base(supplier), strings.Repeat("../", strings.Count(consumer, "/")+1)+l)
		link(t, dir, supplier+"/consumer:"+filepath.Base(consumer), strings.Repeat("../", strings.Count(supplier, "/")+1)+l)
	}
	supply(board+"/i2c@2/i2c-0/0-0020", board+"/sd@1", "one", "0")
	supply(board+"/regulator@3", board+"/i2c@2/i2c-0/0-0020", "two", "0")
	supply(board+"/i2c@2/i2c-0/0-0020", board+"/regulator@3", "three", "0")
	supply(board+"/later@4", board+"/sd@1", "four", "1")
	const soldered = board + "/sd@1/mmc_host/mmc1/mmc1:0001"
	device(soldered, "", "mmc", "mmcblk", "")
	writeFile(t, dir, soldered+"/uevent", []byte("MODALIAS=mmc:block\n"))
	block(soldered + "/block/mmcblk1")
}

func link(t *testing.T, dir, name, target string) {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, name); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
}

func TestWay(t *testing.T) {
	sys := fakeSys(t)
	for _, tt := range []struct{ device, want string }{
		{"/dev/vda", "virtio1 (virtio_blk), 0000:00:02.0 (virtio-pci)"},
		{"/dev/sda1", "2:0:0:0 (sd), 1-1.1:1.0 (usb-storage), 1-1 (usb), 0000:00:04.0 (ehci-pci)"},
		{"/dev/nvme0n1", "0000:00:05.0 (nvme), 0000:00:06.0 (nvme)"},
		{"/dev/mmcblk0", "mmc0:4567 (mmcblk), 0000:00:08.0 (sdhci-pci)"},
		{"/dev/mmcblk1", "mmc1:0001 (mmcblk), sd@1 (board-sd), needs 0-0020 (chip-clock), needs i2c@2 (board-i2c), needs regulator@3 (board-reg)"},
	} {
		h, err := FindHost(sys, sys, tt.device)
		if err != nil {
			t.Errorf("%s: %v", tt.device, err)
			continue
		}
		var got []string
		for _, d := range h.Way {
			if d.Module == "" && d.Modalias != "mmc:block" {
				t.Errorf("%s: %+v has no module", tt.device, d)
			}
			name := d.String()
			if d.Supplier {
				name = "needs " + name
			}
			got = append(got, name)
		}
		if s := strings.Join(got, ", "); s != tt.want {
			t.Errorf("%s: the way is %s, want %s", tt.device, s, tt.want)
		}
		if h.Node != tt.device[len("/dev/"):] || h.EFI || !strings.HasPrefix(h.CPU, "cpu:") || len(h.Modaliases) != 16 {
			t.Errorf("%s: %+v", tt.device, h)
		}
	}
	for device, want := range map[string]string{
		"/dev/dm-0": "hangs on no bus", "/dev/vdz": "no /dev/vdz", "": "the only EFI system partition",
		"PARTUUID=11111111-1111-4111-8111-111111111111": "PARTUUID=11111111", "nonsense": "ddi.device=nonsense",
	} {
		_, err := FindHost(sys, sys, device)
		if err == nil || !strings.Contains(err.Error(), want) || device != "nonsense" && !errors.Is(err, ErrNoBootDisk) {
			t.Errorf("%q: %v, want %q", device, err, want)
		}
	}
}

// choices says what became of what.
func choices(s *Selection) string {
	var b strings.Builder
	for _, c := range s.Choices {
		mark := "-"
		if c.Carried {
			mark = "+"
		}
		fmt.Fprintf(&b, "%s%s %s: %s\n", mark, c.Name, strings.Join(c.Modules, " "), c.Why)
	}
	return b.String()
}

func TestSelectFor(t *testing.T) {
	sys := fakeSys(t)
	root := fakeTree(t)
	dir := filepath.Join(root, "lib/modules", fakeRelease)
	writeFile(t, dir, "kernel/tpm.ko", fakeModule(t, "alias=acpi*:MSFT0101:*", "depends="))
	if err := os.Rename(filepath.Join(dir, "kernel/tpm.ko"), filepath.Join(dir, "kernel/tpm_crb.ko")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		device  string
		classes []string
		want    string
		modules string
	}{
		{"/dev/vda", nil, `+virtio virtio_blk: a device on the way to /dev/vda asks for it
-usb : the machine has such a device, but it does not lead to /dev/vda
+nvme : built into the kernel
-mmc : the kernel has no driver of this class
+tpm tpm_crb: a device of the machine asks for it
-efivarfs : the machine was not started by UEFI firmware
`, "loop tpm_crb virtio_blk"},
		{"/dev/sda1", nil, `-virtio : the machine has such a device, but it does not lead to /dev/sda1
+usb usb_storage ehci_pci sd_mod: a device on the way to /dev/sda1 asks for it
+nvme : built into the kernel
-mmc : the kernel has no driver of this class
+tpm tpm_crb: a device of the machine asks for it
-efivarfs : the machine was not started by UEFI firmware
`, "ehci_hcd ehci_pci loop scsi_common scsi_mod sd_mod tpm_crb uhci_hcd usb_common usb_storage usbcore"},
		// Whoever names a class means all of the machine.
		{"/dev/vda", []string{"usb"}, `+usb usb_storage ehci_pci sd_mod: a device of the machine asks for it
-efivarfs : the machine was not started by UEFI firmware
`, "ehci_hcd ehci_pci loop scsi_common scsi_mod sd_mod uhci_hcd usb_common usb_storage usbcore"},
	} {
		h, err := FindHost(sys, sys, tt.device)
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Classes: tt.classes, Features: []string{"loop"}, OptionalFeatures: []string{"efivarfs"}, Host: h}
		if tt.classes == nil {
			o.OptionalClasses = []string{"virtio", "usb", "nvme", "mmc", "tpm"}
		}
		s, err := Select(open(t, root), o)
		if err != nil {
			t.Fatal(err)
		}
		if got := choices(s); got != tt.want {
			t.Errorf("%s %q:\n%swant\n%s", tt.device, tt.classes, got, tt.want)
		}
		if names(s) != tt.modules {
			t.Errorf("%s %q: modules %s, want %s", tt.device, tt.classes, names(s), tt.modules)
		}
	}
}

// TestSelectWay is about a driver that is in no class, and one that the kernel does not have at all.
func TestSelectWay(t *testing.T) {
	root := fakeTree(t)
	writeFile(t, filepath.Join(root, "lib/modules", fakeRelease), "kernel/odd_host.ko", fakeModule(t, "alias=pci:v0000ABCDd*", "depends=scsi_mod"))
	odd := Device{Path: "devices/pci0000:00/0000:00:07.0", Modalias: "pci:v0000ABCDd0001sv0sd0bc01sc00i00", Driver: "odd", Module: "odd_host"}
	o := Options{OptionalClasses: ClassNames(), Host: &Host{Node: "sda", Way: []Device{{Modalias: "scsi:t-0x00"}, odd}}}
	s, err := Select(open(t, root), o)
	if err != nil || names(s) != "odd_host scsi_common scsi_mod" || !strings.Contains(choices(s), "+way odd_host: they drive devices on the way to /dev/sda") {
		t.Errorf("%v, %v", s, err)
	}
	// Another driver of the same device will do, none will not.
	o.Host.Way[1].Module = "even_odder"
	if _, err := Select(open(t, root), o); !errors.Is(err, ErrNoDriver) || !strings.Contains(err.Error(), "0000:00:07.0 (odd)") || !strings.Contains(err.Error(), "even_odder") {
		t.Errorf("no driver: %v", err)
	}
	// Without what only supplies something the kernel may do, after a while.
	o.Host.Way[1].Supplier = true
	if s, err := Select(open(t, root), o); err != nil || !strings.Contains(choices(s), "-way : kernel "+fakeRelease+" has no driver even_odder, which drives 0000:00:07.0:") {
		t.Errorf("a supplier without driver: %v, %v", err, s)
	}
	o.Host.Way[1].Module = "odd_host"
	if s, err := Select(open(t, root), o); err != nil || !strings.Contains(choices(s), "+way odd_host") {
		t.Errorf("a supplier: %v, %v", err, s)
	}
	o.Modules, o.Host.Way = []string{"odd_host"}, []Device{{Modalias: "virtio:d00000002v1", Module: "virtio_new"}}
	if s, err := Select(open(t, root), o); err != nil || !strings.Contains(names(s), "virtio_blk") {
		t.Errorf("renamed: %v", err)
	}
	// A class by name that nothing asks for.
	o = Options{Classes: []string{"usb"}, Host: &Host{Node: "vda"}}
	if _, err := Select(open(t, root), o); !errors.Is(err, ErrNotAsked) || !strings.Contains(err.Error(), "class usb") {
		t.Errorf("not asked for: %v", err)
	}
}
