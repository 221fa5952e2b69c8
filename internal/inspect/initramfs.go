// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package inspect

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/ability"
	"github.com/initddi/initddi/internal/initramfs"
	"github.com/initddi/initddi/internal/kmodules"
	"github.com/initddi/initddi/internal/modtable"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/settings"
)

// Initramfs describes an initramfs; what only a stage 1 has is empty for others.
type Initramfs struct {
	Members  []Member `json:"members"`
	Unpacked int64    `json:"unpacked_size"` // of all archives
	Files    int      `json:"files"`         // without directories
	Init     string   `json:"init,omitempty"`
	// Commands of the busybox, and what it takes.
	Commands     []string `json:"commands,omitempty"`
	CommandsSize int64    `json:"commands_size,omitempty"`
	Shell        bool     `json:"shell"`
	// Kernel is the release of the kernel that the modules belong to.
	Kernel      string   `json:"kernel,omitempty"`
	Classes     []string `json:"classes,omitempty"`
	Features    []string `json:"features,omitempty"`
	Modules     []Module `json:"modules,omitempty"`
	ModulesSize int64    `json:"modules_size,omitempty"`
	// Firmware are the files that drivers can have of the kernel, MissingFirmware those that modules name and that are not among them.
	Firmware        []File            `json:"firmware,omitempty"`
	FirmwareSize    int64             `json:"firmware_size,omitempty"`
	MissingFirmware []MissingFirmware `json:"missing_firmware,omitempty"`
	// Trust is the trust store, Settings the lines of stage1.conf.
	Trust    []Certificate `json:"trust,omitempty"`
	Settings []string      `json:"settings,omitempty"`
	Others   []File        `json:"others,omitempty"`
	// Problems are what stage 1 would complain about at boot.
	Problems []string `json:"problems,omitempty"`

	// What the plan is made of, beside the command line.
	programs     initramfs.Programs
	config       []byte
	certificates []plan.CertificateFile
	// behind says why the archives are not all that there is.
	behind error
	asks   []MissingFirmware // what each module names
	asked  int               // bytes of these names
}

// Module is a kernel module.
type Module struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// MissingFirmware is firmware that a module may ask for in vain. No device wants all that its module names.
type MissingFirmware struct {
	Module string   `json:"module"`
	Files  []string `json:"files"`
}

// File is a file of an initramfs that has no other place in the report.
type File struct {
	Path string `json:"path"`
	Size int64  `json:"size"`
}

// maxOthers bounds the list of other files: a stage 1 has a few, a distribution's initramfs thousands that nobody wants to read.
const maxOthers = 32

// maxAsked bounds the names of firmware that modules ask for, all together. Those of every class have 2 kB.
const maxAsked = 1 << 20

func (s source) initramfs(rep *Report) error {
	if err := s.archives(rep); err != nil {
		return err
	}
	rep.Initramfs.check(rep.Kind, "")
	return nil
}

// archives describes an initramfs, and leaves its problems to [Initramfs.check].
func (s source) archives(rep *Report) error {
	a := &Initramfs{}
	stage1 := false
	members, err := s.readArchives(func(r record) {
		stage1 = a.add(r) || stage1
	})
	if err != nil && (len(members) == 0 || s.ctx.Err() != nil) {
		return err
	}
	a.behind = err
	a.Members = members
	for _, m := range members {
		a.Unpacked += m.Unpacked
	}
	slices.Sort(a.Commands)
	rep.Initramfs = a
	if stage1 {
		rep.Kind = KindStage1
		a.Shell = slices.Contains(a.Commands, ability.Shell)
		a.findMissing()
	}
	return nil
}

// addAsked notes which firmware the last module names. Of one that is compressed or damaged it is not known.
func (a *Initramfs) addAsked(module []byte) {
	names, err := kmodules.FirmwareNames(module)
	if err != nil || len(names) == 0 {
		return
	}
	m := MissingFirmware{Module: a.Modules[len(a.Modules)-1].Name}
	for _, name := range names {
		if a.asked += len(name); a.asked > maxAsked {
			break
		}
		m.Files = append(m.Files, strings.Clone(name)) // and let the module go
	}
	a.asks = append(a.asks, m)
}

// findMissing says which firmware is asked for and not there.
func (a *Initramfs) findMissing() {
	have := make(map[string]bool, len(a.Firmware))
	for _, f := range a.Firmware {
		have[f.Path] = true
	}
	for _, m := range a.asks {
		m.Files = slices.DeleteFunc(m.Files, func(name string) bool { return have[name] })
		if slices.Sort(m.Files); len(m.Files) > 0 {
			a.MissingFirmware = append(a.MissingFirmware, m)
		}
	}
}

// add takes a file of the archive, and reports whether only a stage 1 has it.
func (a *Initramfs) add(r record) bool {
	name := strings.TrimPrefix(path.Clean("/"+r.name), "/")
	if r.isDir() {
		return false
	}
	a.Files++
	dir, base := path.Split(name)
	switch {
	case name == "init":
		a.Init = "/init"
		if r.isSymlink() {
			a.Init = string(r.data)
		}
	case dir == initramfs.CommandDir+"/":
		if r.isRegular() {
			a.CommandsSize += r.size
			a.programs.AddProgram(name, bytes.NewReader(r.data))
		} else {
			a.Commands = append(a.Commands, base)
			a.programs.AddLink(name, string(r.data))
		}
		return base == "storageinit"
	case name == initramfs.ModuleTable:
		a.addTable(r.data)
		return true
	case name == initramfs.ConfigFile:
		a.config = r.data
		list, err := settings.Parse(plan.ConfigPath, r.data)
		if err == nil {
			for _, s := range list {
				a.Settings = append(a.Settings, s.Key+"="+s.Value)
			}
		}
		return true
	case dir == initramfs.TrustStore+"/" && strings.HasSuffix(base, ".crt"):
		a.certificates = append(a.certificates, plan.CertificateFile{Name: "/" + name, PEM: r.data})
		certs, err := parseCertificates(r.data, base)
		if err == nil {
			a.Trust = append(a.Trust, certs...)
		}
	case strings.Contains(base, ".ko") && strings.Contains(dir, "lib/modules/"):
		a.Modules = append(a.Modules, Module{strings.SplitN(base, ".ko", 2)[0], r.size})
		a.ModulesSize += r.size
		a.addAsked(r.data)
	case strings.HasPrefix(name, initramfs.FirmwareDir+"/"):
		a.Firmware = append(a.Firmware, File{strings.TrimPrefix(name, initramfs.FirmwareDir+"/"), r.size})
		a.FirmwareSize += r.size
	case len(a.Others) < maxOthers:
		a.Others = append(a.Others, File{"/" + name, r.size})
	}
	return false
}

func (a *Initramfs) addTable(b []byte) {
	t, err := modtable.Parse(b)
	if err != nil {
		a.Problems = append(a.Problems, err.Error())
		return
	}
	a.Kernel = t.Release
	for _, c := range t.Classes {
		a.Classes = append(a.Classes, c.Name)
	}
	for _, f := range t.Features {
		a.Features = append(a.Features, f.Name)
	}
}

// check adds what would be complained about with that command line: by the kernel, and by a stage 1 if it is one, which makes its plan.
func (a *Initramfs) check(kind Kind, commandLine string) {
	// The kernel keeps what it has unpacked; what it finds behind that can be a boot image, for which it was told to keep all.
	if a.behind != nil && !slices.Contains(strings.Fields(commandLine), "retain_initrd") {
		a.addProblems([]string{fmt.Sprintf("the kernel unpacks the first %d archives only: %v; an image there takes retain_initrd on the command line", len(a.Members), a.behind)})
	}
	if kind != KindStage1 {
		return
	}
	in := a.programs.Abilities().Input()
	in.CommandLine, in.Config, in.Certificates = commandLine, a.config, a.certificates
	p, err := plan.New(in)
	if err != nil {
		a.addProblems(strings.Split(err.Error(), "\n"))
	}
	a.addProblems(p.Warnings)
	if len(p.Trust) == 0 && len(p.Pins) == 0 {
		a.addProblems([]string{"it accepts no image: there is neither a certificate nor a pin"})
	}
}

func (a *Initramfs) addProblems(list []string) {
	for _, p := range list {
		if !slices.Contains(a.Problems, p) {
			a.Problems = append(a.Problems, p)
		}
	}
}
