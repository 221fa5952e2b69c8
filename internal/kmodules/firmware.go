// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package kmodules

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/initddi/initddi/internal/linux/inroot"
)

// maxFirmware bounds a file of firmware, uncompressed. Those that drivers of disks and network cards ask for have at most 12 MB.
const maxFirmware = 64 << 20

// ErrFirmware says that there is no firmware where it was said to be, or that a file of it cannot be used.
var ErrFirmware = errors.New("no firmware")

// FirmwareFile is a file that a driver asks the kernel for, which takes it out of /lib/firmware: in stage 1, that of the initramfs.
type FirmwareFile struct {
	Name   string   // as the driver says it
	Path   string   // in the archive: lib/firmware/NAME
	Source string   // where it was found, from the root of the tree
	For    []string // the modules that name it, sorted
	Data   []byte   // uncompressed, which every kernel can read, whatever its CONFIG_FW_LOADER_COMPRESS: the archive is compressed as a whole
}

// ModuleFirmware is what a carried module, or a built-in driver of a class that was asked for, says of firmware. It names every file
// that any version of any device may want; no device wants all of them.
type ModuleFirmware struct {
	Module  string   `json:"module"`
	Carried []string `json:"carried,omitempty"`
	Size    int64    `json:"size"` // of these, in bytes
	Missing []string `json:"missing,omitempty"`
	// Without is what becomes of devices without what is missing, as far as that is known.
	Without string `json:"without,omitempty"`
	// Dispensable says that they all work without what is missing.
	Dispensable bool `json:"dispensable,omitempty"`
}

// Lacks reports whether the driver may fail for want of firmware: none of its files is there. Where some are, the others are those
// of older versions or of other devices; which, a module does not say.
func (f ModuleFirmware) Lacks() bool { return len(f.Carried) == 0 && !f.Dispensable }

// maxNamed is how many files a warning names; graphics drivers want hundreds.
const maxNamed = 6

// Warning says what a driver does not get.
func (f ModuleFirmware) Warning() string {
	names := f.Missing[:min(len(f.Missing), maxNamed)]
	s := fmt.Sprintf("%s asks for firmware, and there is no %s", f.Module, strings.Join(names, ", "))
	if more := len(f.Missing) - len(names); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	if f.Without != "" {
		s += ": " + f.Without
	}
	return s
}

// without is what the drivers of the classes do if request_firmware() fails, by their source in Linux 6.12. A module can say no more of
// this than to name files. The text is about the driver's devices.
func without(module string) (text string, dispensable bool) {
	switch module {
	case "bnx2x":
		return "its network cards cannot be switched on", false
	case "qed":
		return "the network cards of qede do not appear", false
	case "e100":
		return "82550 and 82551 network cards cannot be switched on", false
	case "qla2xxx":
		return "Fibre Channel adapters before the 2400 series do not start; later ones do with what is in their flash memory", false
	case "xhci_pci_renesas":
		return "USB controllers uPD720201 and uPD720202 show no disk if they have no ROM of their own", false
	case "r8169", "r8152":
		return "they work, without corrections for their transceivers", true
	case "tg3":
		return "they work, all but the BCM5701 A0, without segmentation offload", true
	case "ice":
		return "they work in safe mode, with one queue", true
	case "cxgb4":
		return "they work with what is in their flash memory", true
	}
	return "", false
}

// NoFirmware is what [Options] call a place where there is none and none is missed.
const NoFirmware = "none"

// store is a tree with firmware in it.
type store struct {
	root    *os.File // every symlink is resolved in it
	dir     string   // below root; "" if there is none
	release string
}

func (s *store) close() {
	if s.root != nil {
		s.root.Close()
	}
}

// openFirmware opens the firmware at place, which is a directory with lib/firmware or usr/lib/firmware below it, or that directory
// itself. If place is empty, it is what the system has that the modules are of.
func openFirmware(t *Tree, place string) (*store, error) {
	s := &store{release: t.release}
	if place == NoFirmware || place == "" && t.dir == "" {
		return s, nil
	}
	top, given := place, place != ""
	if !given {
		var ok bool
		if top, ok = above(t.dir, "lib/modules/"+filepath.Base(absolute(t.dir))); !ok {
			return s, nil
		}
	}
	for _, sub := range []string{"lib/firmware", "usr/lib/firmware"} {
		if fi, err := os.Stat(filepath.Join(top, sub)); err == nil && fi.IsDir() {
			s.dir = sub
			break
		}
	}
	switch {
	case s.dir != "":
	case !given:
		return s, nil
	default:
		// The directory itself. Its links may lead to elsewhere in the system, if it lies in one.
		s.dir = "."
		if root, ok := above(place, "lib/firmware"); ok {
			rel, err := filepath.Rel(root, absolute(place))
			if err != nil {
				return nil, fmt.Errorf("cannot use the firmware in %s: %w", place, err)
			}
			top, s.dir = root, filepath.ToSlash(rel)
		}
	}
	f, err := os.Open(top)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFirmware, err)
	}
	if fi, err := f.Stat(); err != nil || !fi.IsDir() {
		f.Close()
		return nil, fmt.Errorf("%w: %s is not a directory", ErrFirmware, place)
	}
	s.root = f
	return s, nil
}

func absolute(name string) string {
	if abs, err := filepath.Abs(name); err == nil {
		return abs
	}
	return name
}

// above returns the root of the system in which the directory dir has the path sub, or usr/ and that.
func above(dir, sub string) (string, bool) {
	root, ok := strings.CutSuffix(absolute(dir), "/"+sub)
	if !ok {
		return "", false
	}
	return cmp.Or(strings.TrimSuffix(root, "/usr"), "/"), true
}

// find returns a file of firmware by the name that a driver says, from where the kernel would take it
// (drivers/base/firmware_loader/main.c: fw_path, and _request_firmware for the compressed). source is empty if there is none.
func (s *store) find(name string) (source string, data []byte, err error) {
	if s.root == nil || !fs.ValidPath(name) {
		return "", nil, nil
	}
	for _, c := range []struct {
		suffix string
		format format
	}{{"", plain}, {".zst", zstandard}, {".xz", xzip}} {
		for _, sub := range []string{"updates/" + s.release, "updates", s.release, ""} {
			source = path.Join(s.dir, sub, name) + c.suffix
			raw, err := s.read(source)
			switch {
			case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
				continue
			case err != nil:
				return "", nil, fmt.Errorf("cannot read firmware %s: %w", name, err)
			}
			if data, err = expand(raw, c.format, maxFirmware); err != nil {
				return "", nil, fmt.Errorf("cannot read firmware %s: %w", source, err)
			}
			return source, data, nil
		}
	}
	return "", nil, nil
}

func (s *store) read(name string) ([]byte, error) {
	fd, err := inroot.Open(int(s.root.Fd()), name)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a file", ErrFirmware, name)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFirmware+1))
	if err == nil && len(b) > maxFirmware {
		err = fmt.Errorf("%w: %s has more than %d bytes", ErrFirmware, name, maxFirmware)
	}
	return b, err
}

// addFirmware adds what the modules of a selection, and the drivers that are built in instead, ask for.
func (s *selector) addFirmware(out *Selection) error {
	asked := make(map[string][]string) // module -> names
	for name := range s.why {
		m, err := s.tree.module(name)
		if err != nil {
			return err
		}
		if len(m.firmware) > 0 {
			asked[name] = m.firmware
		}
	}
	for _, name := range s.spec.Builtin {
		if names := s.tree.firmware[canonical(name)]; len(names) > 0 {
			asked[canonical(name)] = names
		}
	}
	if len(asked) == 0 {
		return nil
	}
	from, err := openFirmware(s.tree, s.options.Firmware)
	if err != nil {
		return err
	}
	defer from.close()
	files := make(map[string]*FirmwareFile)
	for _, module := range slices.Sorted(maps.Keys(asked)) {
		said := ModuleFirmware{Module: module}
		names := slices.Clone(asked[module])
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			f := files[name]
			if f == nil {
				source, data, err := from.find(name)
				if err != nil {
					return err
				}
				if source == "" {
					said.Missing = append(said.Missing, name)
					continue
				}
				f = &FirmwareFile{Name: name, Path: "lib/firmware/" + name, Source: source, Data: data}
				files[name] = f
			}
			f.For = append(f.For, module)
			said.Carried = append(said.Carried, name)
			said.Size += int64(len(f.Data))
		}
		if len(said.Missing) > 0 {
			said.Without, said.Dispensable = without(module)
		}
		out.ModuleFirmware = append(out.ModuleFirmware, said)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		out.Firmware = append(out.Firmware, *files[name])
	}
	return nil
}

// FirmwareNames returns the files of firmware that a module, uncompressed, says that it may ask for.
//
// The error wraps [ErrModule].
func FirmwareNames(module []byte) ([]string, error) {
	i, err := readInfo(module)
	return i.firmware, err
}
