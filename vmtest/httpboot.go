// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"context"
	"os"
	"path/filepath"

	"github.com/initddi/initddi/internal/netlab"
	"github.com/initddi/initddi/internal/vm"
)

// DiskPath is where the web server of a cell that boots by HTTP has the disk.
const DiskPath = "/disk.img"

// httpServer is how dnsmasq tells UEFI's HTTP boot what to fetch: it says who it is by the vendor class, and wants to hear it back.
func httpServer(path string) []string {
	return append([]string{
		"dhcp-vendorclass=set:http,HTTPClient",
		"dhcp-option-force=tag:http,option:vendor-class,HTTPClient",
		"dhcp-boot=tag:http,http://" + netlab.Address4 + path,
	}, netlab.DHCP4...)
}

// httpFirmware has the machine fetch its disk by HTTP, into memory, and boot from there. That is Debian 13's OVMF, which has HTTP boot.
func (w *Workshop) httpFirmware(config *vm.Config, vars string) error {
	root, err := w.fetched("ovmf-13", "trixie", "ovmf")
	if err != nil {
		return err
	}
	dir := filepath.Join(root, "usr/share/OVMF")
	b, err := os.ReadFile(filepath.Join(dir, "OVMF_VARS_4M.fd"))
	if err != nil {
		return err
	}
	config.FirmwareCode, config.FirmwareVars = filepath.Join(dir, "OVMF_CODE_4M.fd"), vars
	// PXE would come first, and take its time to find that nobody answers.
	config.Extra = append(config.Extra, "-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n", "-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n")
	return os.WriteFile(vars, b, 0o600)
}

// serveDisk puts the disk that a machine boots by HTTP, with its UKI, below the directory root of the web server.
func (w *Workshop) serveDisk(ctx context.Context, c *Cell, root string) error {
	if c.Network.Web.Disk == nil {
		return nil
	}
	cmdline, err := w.cmdline(ctx, c)
	if err != nil {
		return err
	}
	s, err := w.starter(ctx, c, cmdline)
	if err != nil {
		return err
	}
	disk, err := w.Disk(ctx, *c.Network.Web.Disk, s)
	if err != nil {
		return err
	}
	return os.Symlink(disk, root+DiskPath)
}
