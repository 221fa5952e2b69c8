// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package inspect

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/status"
)

// Print writes the report for people.
func (r *Report) Print(w io.Writer) {
	p := printer{w}
	p.line("%s: %s, %d bytes", r.File, kindText(r.Kind), r.Size)
	if r.SHA256 != "" {
		p.line("SHA-256: %s", r.SHA256)
	}
	p.line("")
	if r.Disk != nil {
		p.disk(r.Disk)
	}
	if r.DDI != nil {
		r.DDI.Print(w, true)
	}
	switch {
	case r.PE != nil:
		p.pe(r.PE)
	case r.Initramfs != nil:
		p.initramfs(r.Initramfs, r.Kind)
	case r.Firmware != nil:
		p.firmware(r.Firmware)
	case r.Boot != nil:
		p.boot(r.Boot)
	case r.Certificates != nil:
		p.certificates(r.Certificates)
	}
}

func kindText(k Kind) string {
	return map[Kind]string{
		KindDDI: "discoverable disk image", KindUKI: "unified kernel image", KindPE: "EFI program", KindStage1: "stage 1", KindInitramfs: "initramfs",
		KindDisk: "disk", KindFAT: "FAT file system", KindFirmware: "firmware variables", KindBootReport: "boot report", KindCertificates: "certificates",
	}[k]
}

// printer writes lines and tables. Nothing that a file says can control the terminal.
type printer struct{ w io.Writer }

func (p printer) line(format string, args ...any) {
	fmt.Fprintln(p.w, ddi.Printable(fmt.Sprintf(format, args...)))
}

// carried says what files of one sort an archive has, if any. Those of somebody else's initramfs are only counted.
func (p printer) carried(k Kind, name string, files []string, size int64) {
	if len(files) == 0 {
		return
	}
	list := "not listed"
	if k == KindStage1 {
		list = strings.Join(files, " ")
	}
	p.field(name, fmt.Sprintf("%d in %d bytes: %s", len(files), size, list))
}

// field writes a named value, and nothing for one that is empty.
func (p printer) field(name, value string) {
	if value != "" {
		p.line("%12s: %s", name, value)
	}
}

func (p printer) table(rows [][]string) {
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i := range row {
			row[i] = ddi.Printable(row[i])
			if row[i] == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	t.Flush()
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

func (p printer) pe(e *PE) {
	p.field("Arch.", e.Architecture)
	p.field("Stub", e.Stub)
	p.field("Kernel", e.Uname)
	if e.Section(".cmdline") != nil {
		p.field("Command line", strconv.Quote(e.Cmdline))
	}
	for _, s := range e.Signatures {
		p.field("Signature", fmt.Sprintf("by %s, certificate %s (not verified)", s.Signer, s.Fingerprint))
	}
	if len(e.Signatures) == 0 {
		p.field("Signature", "none")
	}
	p.line("")
	rows := [][]string{{"SECTION", "SIZE", "ADDRESS", "SHA-256"}}
	for _, s := range e.Sections {
		rows = append(rows, []string{s.Name, number(s.Size), fmt.Sprintf("%#x", s.VirtualAddress), s.SHA256})
	}
	p.table(rows)
	if e.Problem != "" {
		p.line("")
		p.field("Problem", e.Problem)
	}
	if e.Initramfs != nil {
		p.line("")
		p.line(".initrd: %s", kindText(e.InitramfsKind))
		p.initramfs(e.Initramfs, e.InitramfsKind)
	}
}

func (p printer) initramfs(a *Initramfs, k Kind) {
	for _, m := range a.Members {
		p.field("Archive", fmt.Sprintf("%d bytes, compression %s, %d bytes unpacked", m.Size, m.Compression, m.Unpacked))
	}
	p.field("Files", strconv.Itoa(a.Files))
	p.field("Init", a.Init)
	if len(a.Commands) > 0 {
		p.field("Commands", fmt.Sprintf("%d in %d bytes: %s", len(a.Commands), a.CommandsSize, strings.Join(a.Commands, " ")))
	}
	if k == KindStage1 {
		shell := "none"
		if a.Shell {
			shell = "yes: who has the console has the machine"
		}
		p.field("Shell", shell)
		p.field("Kernel", a.Kernel)
		p.field("Classes", strings.Join(a.Classes, " "))
		p.field("Features", strings.Join(a.Features, " "))
	}
	var modules, firmware []string
	for _, m := range a.Modules {
		modules = append(modules, m.Name)
	}
	for _, f := range a.Firmware {
		firmware = append(firmware, f.Path)
	}
	p.carried(k, "Modules", modules, a.ModulesSize)
	p.carried(k, "Firmware", firmware, a.FirmwareSize)
	for _, m := range a.MissingFirmware {
		p.field("Lacks", fmt.Sprintf("firmware that %s may ask for: %s", m.Module, strings.Join(m.Files, " ")))
	}
	for _, s := range a.Settings {
		p.field("Setting", s)
	}
	for _, c := range a.Trust {
		p.field("Trusts", certificateText(c))
	}
	if k == KindStage1 {
		for _, f := range a.Others {
			p.field("Also", fmt.Sprintf("%s, %d bytes", f.Path, f.Size))
		}
	}
	for _, s := range a.Problems {
		p.field("Problem", s)
	}
}

func certificateText(c Certificate) string {
	s := fmt.Sprintf("%s, %s, SHA-256 %s", c.Subject, c.Key, c.Fingerprint)
	if c.File != "" {
		s = c.File + ": " + s
	}
	if c.Problem != "" {
		s += ": " + c.Problem
	}
	return s
}

func (p printer) certificates(list []Certificate) {
	for _, c := range list {
		p.line("%s", certificateText(c))
	}
}

func (p printer) disk(d *Disk) {
	if d.SectorSize != 0 {
		p.field("Sec. Size", number(d.SectorSize))
		p.field("Disk UUID", d.UUID.String())
	}
	p.field("Damaged", d.Damaged)
	rows := [][]string{{"PARTNO", "DESIGNATOR", "PARTITION UUID", "LABEL", "OFFSET", "SIZE"}}
	for _, q := range d.Partitions {
		des := string(q.Designator)
		if des == "" {
			des = q.Type.String()
		}
		rows = append(rows, []string{strconv.Itoa(q.Number), des, q.UUID.String(), q.Label, number(q.Offset), number(q.Size)})
	}
	if d.SectorSize != 0 {
		p.table(rows)
		p.line("")
	}
	for _, q := range d.Partitions {
		if q.Problem != "" {
			p.line("partition %d cannot be read: %s", q.Number, q.Problem)
		}
		if v := q.Volume; v != nil {
			p.volume(q, v)
		}
	}
}

func (p printer) volume(q Partition, v *Volume) {
	where := ""
	if q.Number != 0 {
		where = fmt.Sprintf("partition %d: ", q.Number)
	}
	label := v.Label
	if label == "" {
		label = "none"
	}
	p.line("%s%s, volume ID %s, label %s, clusters of %d bytes", where, v.Type, v.ID, label, v.ClusterSize)
	rows := [][]string{{"FILE", "SIZE", "EXTENTS", "READ-ONLY", "WHAT"}}
	for _, f := range v.Files {
		readOnly, what := "no", f.Problem
		if f.ReadOnly {
			readOnly = "yes"
		}
		if f.What != nil {
			what = f.What.summary()
		}
		rows = append(rows, []string{f.Path, number(f.Size), strconv.Itoa(f.Extents), readOnly, what})
	}
	p.table(rows)
	if v.Truncated {
		p.line("(there are more)")
	}
}

// summary says in one line what a file is.
func (r *Report) summary() string {
	s := kindText(r.Kind)
	switch {
	case r.DDI != nil && r.DDI.Verdict.Accepted:
		s += ", accepted: " + r.DDI.Verdict.Text
	case r.DDI != nil && r.DDI.Verity != nil:
		s += ", root hash " + r.DDI.Verity.RootHash + ", not verified"
	case r.DDI != nil:
		s += ", not verified"
	case r.PE != nil:
		if r.PE.Uname != "" {
			s += ", Linux " + r.PE.Uname
		}
		signed := "unsigned"
		if len(r.PE.Signatures) > 0 {
			signed = "signed by " + r.PE.Signatures[0].Signer
		}
		s += ", " + signed
	}
	return s
}

func (p printer) firmware(f *Firmware) {
	p.field("Secure Boot", map[string]string{"on": "on", "off": "off, though there are keys", "setup": "off: no platform key, anybody may enrol one"}[f.SecureBoot])
	for _, c := range f.Keys {
		p.field(c.File, certificateText(Certificate{Subject: c.Subject, Key: c.Key, Fingerprint: c.Fingerprint, Problem: c.Problem}))
	}
	for _, name := range slices.Sorted(maps.Keys(f.Hashes)) {
		p.field(name, fmt.Sprintf("%d hashes of programs", f.Hashes[name]))
	}
	p.line("")
	rows := [][]string{{"VARIABLE", "VENDOR", "SIZE"}}
	for _, v := range f.Variables {
		rows = append(rows, []string{v.Name, v.Vendor.String(), strconv.Itoa(v.Size)})
	}
	p.table(rows)
}

func (p printer) boot(b *report.Boot) {
	p.field("Stage 1", b.Release)
	p.field("Kernel", b.Kernel)
	p.field("UKI", b.UKI)
	if b.SecureBoot != nil {
		p.field("Secure Boot", map[bool]string{true: "on", false: "off"}[*b.SecureBoot])
	}
	if c := b.Chosen; c != nil {
		p.field("Entered", status.Entered(c))
		p.field("Root Hash", c.RootHash)
		if c.Signer != "" {
			p.field("Signer", fmt.Sprintf("%s, certificate %s", c.Signer, c.SignerHash))
		}
		p.field("Image", strings.TrimSpace(fmt.Sprintf("%s, %s, %s", c.Kind, c.FileSystem, strings.Join(strings.Fields(c.ID+" "+c.ImageID+" "+c.Version), " "))))
		p.field("Device", c.Device)
		p.field("Init", c.Init)
	}
	for _, m := range b.Measured {
		p.field("Measured", fmt.Sprintf("PCR %d: %s (%s)", m.PCR, m.Text, strings.Join(m.Banks, ", ")))
	}
	if b.Unmeasured != "" {
		p.field("Not Measured", b.Unmeasured)
	}
	for _, e := range b.Refused {
		p.field("Refused", e.Text)
	}
	for _, s := range b.Warnings {
		p.field("Warning", s)
	}
	p.field("Modules", strings.Join(b.Modules, " "))
	p.line("")
	rows := [][]string{{"STAGE", "START", "TOOK", "WHAT"}}
	for _, s := range b.Stages {
		rows = append(rows, []string{s.Name, fmt.Sprintf("%.3f s", float64(s.Start)/1e6), fmt.Sprintf("%.1f ms", float64(s.Usec)/1e3), s.Text})
	}
	p.table(rows)
}
