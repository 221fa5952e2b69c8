// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/attempt"
	"github.com/initddi/initddi/internal/cmdline"
	"github.com/initddi/initddi/internal/drivers"
	"github.com/initddi/initddi/internal/efivar"
	"github.com/initddi/initddi/internal/kmodules"
)

// Options say what to record.
type Options struct {
	Root string // of the machine: "/", or a captured one
	// Names records as well what names the machine: its maker and model, the whole kernel command line, and the serial numbers of its FAT
	// file systems.
	Names bool
}

// Verdict is what became of a thing.
type Verdict string

// The verdicts.
const (
	Recorded Verdict = "recorded"
	LeftOut  Verdict = "left out" // it is there, and not for strangers
	Unread   Verdict = "unread"   // it could not be read
)

// Line says what became of a thing.
type Line struct {
	Verdict Verdict `json:"verdict"`
	What    string  `json:"what"`
}

// recorder gathers what is recorded.
type recorder struct {
	names          bool
	sys, dev, proc *os.Root
	out            tree
	wwids          []string // names of disks, each once
	lines          []Line
}

// Record writes a machine to an archive and returns what is in it, what was left out and what could not be read. The error is one of
// writing, or of a machine without /sys, /dev or /proc; that something cannot be read is none.
func Record(w io.Writer, o Options) ([]Line, error) {
	r := &recorder{names: o.Names, out: tree{}}
	for _, d := range []struct {
		to   **os.Root
		name string
	}{{&r.sys, "sys"}, {&r.dev, "dev"}, {&r.proc, "proc"}} {
		root, err := os.OpenRoot(filepath.Join(o.Root, d.name))
		if err != nil {
			return nil, fmt.Errorf("cannot record the machine: %w", err)
		}
		defer root.Close()
		*d.to = root
	}
	for _, dir := range []string{"dev", "sys/bus", "sys/class/block"} {
		r.out[dir] = node{dir: true} // whatever is in them
	}
	r.kernel()
	r.devices()
	r.firmware()
	r.blockDevices()
	r.say(LeftOut, "the content of every file, trust store and settings of stage 1, serial numbers, network addresses")
	if !r.names {
		r.say(LeftOut, "the machine's maker and model, serial numbers of FAT file systems (--with-names)")
	}
	return r.lines, r.out.write(w)
}

func (r *recorder) say(v Verdict, format string, args ...any) {
	r.lines = append(r.lines, Line{v, fmt.Sprintf(format, args...)})
}

// cannot notes what could not be read, and what the capture lacks therefore. What does not exist is no news.
func (r *recorder) cannot(name, lacks string, err error) {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		r.say(Unread, "%s: %v: %s in the capture", name, err, lacks)
	}
}

// maxAttribute is what the kernel prints into a file of sysfs at most.
const maxAttribute = 4096

// attribute records a file of /sys, if there is one that can be read.
func (r *recorder) attribute(name string) bool {
	b, ok := r.read(r.sys, name, maxAttribute)
	if ok {
		r.out["sys/"+name] = node{data: b}
	}
	return ok
}

func (r *recorder) read(root *os.Root, name string, limit int64) ([]byte, bool) {
	f, err := root.Open(name)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			r.cannot(root.Name()+"/"+name, "it is not", err)
		}
		return nil, false
	}
	defer f.Close()
	// Reading some attributes says that there is nothing in them: a device without modalias has the file all the same.
	b, err := io.ReadAll(io.LimitReader(f, limit))
	return b, err == nil
}

// link records a symbolic link of /sys and returns what it leads to, below /sys; empty if there is none.
func (r *recorder) link(name string) string {
	target, err := r.sys.Readlink(name)
	if err != nil || path.IsAbs(target) {
		return ""
	}
	to := path.Join(path.Dir(name), target)
	if strings.HasPrefix(to, "../") {
		return ""
	}
	r.out["sys/"+name] = node{target: target}
	return to
}

// kernel records which kernel runs and what it was told.
func (r *recorder) kernel() {
	if b, ok := r.read(r.proc, "sys/kernel/osrelease", maxAttribute); ok {
		r.out["proc/sys/kernel/osrelease"] = node{data: b}
		r.say(Recorded, "kernel %s", strings.TrimSpace(string(b)))
	}
	b, ok := r.read(r.proc, "cmdline", 64<<10)
	if !ok {
		b = []byte("\n")
	}
	if !r.names {
		var dropped int
		b, dropped = harmless(string(b))
		if dropped > 0 {
			r.say(LeftOut, "%d words of the kernel command line that mean nothing to stage 1 (--with-names)", dropped)
		}
	}
	r.out["proc/cmdline"] = node{data: b}
	if text := strings.TrimSpace(string(b)); text != "" {
		r.say(Recorded, "kernel command line: %s", text)
	}
	for _, name := range []string{"usb_storage/parameters/delay_use", "dm_verity/parameters/require_signatures"} {
		r.attribute("module/" + name)
	}
}

// known are the words of a kernel command line that stage 1 reads, or that say how a kernel and its console behave. Whatever else
// stands there may be a password.
func known(p cmdline.Param) bool {
	if strings.HasPrefix(p.Key, "ddi.") {
		return true
	}
	if module, _, is := strings.Cut(p.Key, "."); is {
		module = strings.ReplaceAll(module, "-", "_")
		return slices.ContainsFunc(kmodules.Classes(), func(c kmodules.Class) bool {
			return slices.Contains(c.Drivers, module) || slices.Contains(c.With, module)
		}) || slices.ContainsFunc(kmodules.Features(), func(f kmodules.Feature) bool { return slices.Contains(f.Modules, module) })
	}
	return slices.Contains([]string{"console", "quiet", "debug", "loglevel", "panic", "ro", "rw", "init", "root", "roothash", "usrhash", "rootwait", "memmap"}, p.Key)
}

// harmless returns the known words of a command line, and how many were left out. User and password in a URL are taken out.
func harmless(text string) ([]byte, int) {
	params, initArgs, err := cmdline.Parse(text)
	if err != nil {
		return []byte("\n"), len(strings.Fields(text))
	}
	var words []string
	dropped := len(initArgs)
	for _, p := range params {
		if !known(p) {
			dropped++
			continue
		}
		p.Value = withoutUsers(p.Value)
		words = append(words, p.String())
	}
	return []byte(strings.Join(words, " ") + "\n"), dropped
}

// withoutUsers takes user and password out of every URL in a value, which may be a list.
func withoutUsers(value string) string {
	urls := strings.Split(value, "://")
	for i, u := range urls[1:] {
		host, rest, has := strings.Cut(u, "/")
		host = host[strings.LastIndexByte(host, '@')+1:]
		if has {
			host += "/" + rest
		}
		urls[i+1] = host
	}
	return strings.Join(urls, "://")
}

// devices records every device on every bus that asks for a driver or has one, and the processor.
func (r *recorder) devices() {
	devices, driven, buses := 0, map[string]bool{}, 0
	for _, bus := range drivers.List(r.sys, "bus") {
		before := devices
		for _, name := range drivers.List(r.sys, "bus/"+bus+"/devices") {
			entry := "bus/" + bus + "/devices/" + name
			dir := r.link(entry)
			if dir == "" {
				continue
			}
			asks, driver := r.device(dir)
			if !asks && driver == "" {
				delete(r.out, "sys/"+entry)
				continue
			}
			if driver != "" {
				driven[driver] = true
			}
			devices++
		}
		if devices > before {
			buses++
		}
	}
	r.attribute("devices/system/cpu/modalias")
	for _, name := range drivers.List(r.sys, "class/tpm") {
		if dir := r.link("class/tpm/" + name); dir != "" {
			r.attribute(dir + "/tpm_version_major")
		}
	}
	if r.names {
		for _, name := range []string{"sys_vendor", "product_name", "product_version", "board_vendor", "board_name", "bios_version", "bios_date"} {
			r.attribute("devices/virtual/dmi/id/" + name)
		}
	}
	r.say(Recorded, "%d devices on %d buses, with %d drivers", devices, buses, len(driven))
}

func (r *recorder) has(name string) bool {
	_, ok := r.out["sys/"+name]
	return ok
}

// device records what a device asks for, and who drives it, which it returns.
func (r *recorder) device(dir string) (asks bool, driver string) {
	asks = r.attribute(dir + "/modalias")
	driver = r.link(dir + "/driver")
	uevent := r.uevent(dir)
	// Some devices say only there what they ask for.
	asks = asks || bytes.Contains(uevent, []byte("MODALIAS="))
	if !asks && driver == "" {
		delete(r.out, "sys/"+dir+"/uevent")
	}
	if driver == "" {
		return asks, ""
	}
	r.suppliers(dir)
	r.out["sys/"+driver] = node{dir: true}
	if module := r.link(driver + "/module"); module != "" {
		r.out["sys/"+module] = node{dir: true}
	}
	return asks, driver
}

// suppliers records which devices a device is not probed without.
func (r *recorder) suppliers(dir string) {
	for _, name := range drivers.List(r.sys, dir) {
		if !strings.HasPrefix(name, "supplier:") {
			continue
		}
		if link := r.link(dir + "/" + name); link != "" {
			r.link(link + "/supplier")
			r.attribute(link + "/sync_state_only")
		}
	}
}

// uevent records those lines of a device's uevent that name its kind and not itself, and returns them.
func (r *recorder) uevent(dir string) []byte {
	b, ok := r.read(r.sys, dir+"/uevent", maxAttribute)
	if !ok {
		return nil
	}
	var out []byte
	for line := range strings.Lines(string(b)) {
		key, _, _ := strings.Cut(line, "=")
		switch key {
		case "MAJOR", "MINOR", "DEVNAME", "DEVTYPE", "PARTN", "DRIVER", "MODALIAS", "PCI_CLASS", "PCI_ID", "PCI_SUBSYS_ID", "PRODUCT", "TYPE", "INTERFACE", "MMC_TYPE", "SDIO_ID":
			out = append(out, line...)
		}
	}
	r.out["sys/"+dir+"/uevent"] = node{data: out}
	return out
}

// firmware records whether the machine has UEFI firmware, and the variables that stage 1 reads.
func (r *recorder) firmware() {
	if _, err := r.sys.Stat("firmware/efi"); err != nil {
		r.say(Recorded, "no UEFI firmware")
		return
	}
	if !r.attribute("firmware/efi/fw_platform_size") {
		r.out["sys/firmware/efi/fw_platform_size"] = node{data: []byte("64\n")}
	}
	var found []string
	for _, v := range []string{
		efivar.FileName("StubDevicePartUUID", efivar.LoaderVendor()), efivar.FileName("LoaderDevicePartUUID", efivar.LoaderVendor()),
		efivar.FileName("StubImageIdentifier", efivar.LoaderVendor()), efivar.FileName("LoaderImageIdentifier", efivar.LoaderVendor()),
		efivar.FileName("SecureBoot", efivar.GlobalVendor()), efivar.FileName(attempt.Variable, attempt.Vendor()),
	} {
		if b, ok := r.read(r.sys, "firmware/efi/efivars/"+v, 16<<10); ok {
			r.out["sys/firmware/efi/efivars/"+v] = node{data: b}
			name, _, _ := strings.Cut(v, "-")
			found = append(found, name)
		}
	}
	if found == nil {
		found = []string{"no variable that stage 1 reads"}
	}
	r.say(Recorded, "UEFI firmware: %s", strings.Join(found, ", "))
}
