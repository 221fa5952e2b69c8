// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package vm describes the virtual machines that boot what initddi builds, and turns them into QEMU's arguments.
//
// It stands on github.com/hugelgupf/vmtest/qemu, which starts QEMU and watches its console; what is here is the machine itself:
// firmware with Secure Boot, disks, credentials, and the two things QEMU of different ages needs to be told.
package vm

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hugelgupf/vmtest/qemu"

	"github.com/initddi/initddi/internal/program"
)

// Patience is what a kernel of x86 is to be told on an emulated processor, which gets no time now and then on a busy machine. One that
// misses four ticks of the timer in a row panics ("IO-APIC + timer doesn't work!"), and one that is interrupted while it measures its
// time stamp counter has a clock that runs forty times too fast ("soft lockup - CPU#0 stuck for 22s!" after half a second): it
// shall go by the HPET.
const Patience = "no_timer_check tsc=unstable"

// Card is a network card. The first has the hardware address 52:54:00:12:34:56, each further one the next.
type Card struct {
	// Tap is the device that its cable ends in, of the network namespace that QEMU runs in.
	Tap string
	// Model is virtio-net-pci (default), e1000e or whatever else QEMU has.
	Model string
	// Boot has the firmware try it, after the disks.
	Boot bool
}

// Config is a machine.
type Config struct {
	Binary    string // QEMU; default qemu-system-x86_64
	Accel     string // tcg (default) or kvm
	Machine   string // q35 (default), or pc, which has IDE
	MemoryMiB int    // default 1024
	CPUs      int    // default 1

	// Firmware boots a disk through UEFI: code and a variable store of OVMF's. The store is written to.
	FirmwareCode, FirmwareVars string
	// Kernel boots directly, without firmware.
	Kernel, Initrd, Append string

	Disks []Disk
	// Network is none (default), or user: one virtio card behind QEMU's own router, which gives addresses by DHCP and lets the guest
	// out, with this machine's addresses, and nobody in.
	Network string
	// Cards are further network cards, each connected to a tap device that exists already.
	Cards []Card
	// TPM is the socket of an emulated TPM (package swtpm); empty is none.
	TPM string
	// OldTPM says that it is a TPM 1.2.
	OldTPM bool
	// Credentials arrive in the guest as systemd's system credentials, by SMBIOS.
	Credentials map[string]string
	// Report receives what the guest writes to its second serial port.
	Report string
	// Monitor is the path of a socket to be made, over which a [Monitor] talks to QEMU; empty is none.
	Monitor string
	// SMBIOS adds raw type 11 strings.
	SMBIOS []string
	// Icount makes time virtual: one instruction is one nanosecond (docs/HACKING.md, measuring).
	Icount bool
	Extra  []string
}

// Args returns QEMU's arguments, without the program and without a console, which vmtest adds.
func (c Config) Args(ctx context.Context) ([]string, error) {
	version, err := c.version(ctx)
	if err != nil {
		return nil, err
	}
	cpu := "max"
	if version < 8 && c.Accel != "kvm" {
		// QEMU 7.2's emulation of cmpxchg16b breaks Linux 6.12 in one boot of four.
		cpu = "max,cx16=off"
	}
	accel := c.Accel
	if accel == "" {
		accel = "tcg"
	}
	if accel == "tcg" && !c.Icount && c.CPUs > 1 {
		accel = "tcg,thread=multi"
	}
	network := []string{"-nic", "none"}
	switch c.Network {
	case "", "none":
	case "user":
		// Without the card's ROM the firmware has no driver to boot over it with.
		network = []string{"-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="}
	default:
		return nil, fmt.Errorf("cannot attach the machine to the network %q: only none, user: %w", c.Network, errors.ErrUnsupported)
	}
	if len(c.Cards) > 0 && len(network) == 2 {
		network = nil
	}
	args := append([]string{"-no-reboot"}, network...)
	for i, card := range c.Cards {
		args = append(args, card.args(i, len(c.Disks))...)
	}
	args = append(args, "-accel", accel, "-cpu", cpu, "-m", strconv.Itoa(cmp.Or(c.MemoryMiB, 1024)), "-smp", strconv.Itoa(cmp.Or(c.CPUs, 1)))
	if c.Icount {
		args = append(args, "-icount", "shift=0,sleep=on")
	}
	machine := cmp.Or(c.Machine, "q35")
	if c.FirmwareCode != "" {
		if strings.Contains(c.FirmwareCode, "secboot") {
			machine += ",smm=on"
			args = append(args, "-global", "driver=cfi.pflash01,property=secure,value=on")
		}
		args = append(args,
			"-drive", "if=pflash,format=raw,unit=0,readonly=on,file="+escape(c.FirmwareCode),
			"-drive", "if=pflash,format=raw,unit=1,file="+escape(c.FirmwareVars))
	}
	args = append(args, "-machine", machine)
	if args, err = c.withDisks(ctx, args); err != nil {
		return nil, err
	}
	if c.Monitor != "" {
		args = append(args, "-qmp", "unix:"+escape(c.Monitor)+",server=on,wait=off")
	}
	if c.TPM != "" {
		device := "tpm-crb" // which only a TPM 2.0 can have
		if c.OldTPM {
			device = "tpm-tis"
		}
		args = append(args, "-chardev", "socket,id=tpm,path="+escape(c.TPM), "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", device+",tpmdev=tpm0")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Credentials)) {
		args = append(args, "-smbios", "type=11,value="+escape("io.systemd.credential.binary:"+name+"="+base64.StdEncoding.EncodeToString([]byte(c.Credentials[name]))))
	}
	for _, s := range c.SMBIOS {
		args = append(args, "-smbios", "type=11,value="+escape(s))
	}
	return append(args, c.Extra...), nil
}

// args returns the arguments for one card of a machine with that many disks.
func (c Card) args(i, disks int) []string {
	model := cmp.Or(c.Model, "virtio-net-pci")
	device := fmt.Sprintf("%s,netdev=card%d,mac=52:54:00:12:34:%02x", model, i, 0x56+i)
	if c.Boot {
		device += fmt.Sprintf(",bootindex=%d", disks+1+i)
	}
	args := []string{"-netdev", fmt.Sprintf("tap,id=card%d,ifname=%s,script=no,downscript=no", i, c.Tap)}
	if strings.HasPrefix(model, "usb-") {
		// With a controller of its own: disks may have another, or none.
		args = append(args, "-device", fmt.Sprintf("qemu-xhci,id=ports%d", i))
		device += fmt.Sprintf(",bus=ports%d.0", i)
	} else {
		// As above: what the firmware boots over it with is its own.
		device += ",romfile="
	}
	return append(args, "-device", device)
}

// Options returns the machine for vmtest.
func (c Config) Options(ctx context.Context) ([]qemu.Fn, error) {
	args, err := c.Args(ctx)
	if err != nil {
		return nil, err
	}
	if c.Report != "" {
		// -nographic puts the console on the first port; this is the second.
		args = append([]string{"-serial", "mon:stdio", "-serial", "file:" + c.Report}, args...)
	}
	fns := []qemu.Fn{qemu.WithQEMUCommand(c.binary()), qemu.ArbitraryArgs(args...)}
	if c.Kernel != "" {
		fns = append(fns, qemu.WithKernel(c.Kernel), qemu.WithInitramfs(c.Initrd), qemu.WithAppendKernel(c.Append))
	}
	return fns, nil
}

// Interactive runs the machine with this terminal as its console, until it ends or the person there leaves it.
func (c Config) Interactive(ctx context.Context) error {
	args, err := c.Args(ctx)
	if err != nil {
		return err
	}
	args = append(args, "-nographic", "-serial", "mon:stdio")
	if c.Report != "" {
		args = append(args, "-serial", "file:"+c.Report)
	}
	if c.Kernel != "" {
		args = append(args, "-kernel", c.Kernel, "-initrd", c.Initrd, "-append", c.Append)
	}
	cmd := exec.CommandContext(ctx, c.binary(), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot run the virtual machine: %w", err)
	}
	return nil
}

// Run runs the machine without a terminal, copies its console to w, and ends it after limit. A machine that powers itself off
// is no error.
func (c Config) Run(ctx context.Context, w io.WriteCloser, limit time.Duration) error {
	fns, err := c.Options(ctx)
	if err != nil {
		return err
	}
	fns = append(fns, qemu.WithSerialOutput(w), qemu.WithVMTimeout(limit))
	v, err := qemu.StartContext(ctx, qemu.ArchAMD64, fns...)
	if err != nil {
		return fmt.Errorf("cannot start the virtual machine: %w", err)
	}
	if err := v.Wait(); err != nil {
		return fmt.Errorf("cannot run the virtual machine: %w", err)
	}
	return nil
}

func (c Config) binary() string {
	if c.Binary != "" {
		return c.Binary
	}
	return "qemu-system-x86_64"
}

// version returns QEMU's major version.
func (c Config) version(ctx context.Context) (int, error) {
	path, err := program.Find(c.binary(), "qemu-system-x86")
	if err != nil {
		return 0, err
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("cannot run %s --version: %w", c.binary(), err)
	}
	m := regexp.MustCompile(`version (\d+)\.`).FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("cannot read the version of %s out of %q: %w", c.binary(), out, errors.ErrUnsupported)
	}
	return strconv.Atoi(string(m[1]))
}

// escape doubles the commas in a value of a QEMU option.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }
