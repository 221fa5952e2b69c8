// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/u-root/mkuimage/cpio"

	"github.com/initddi/initddi/internal/initramfs"
	"github.com/initddi/initddi/internal/kmodules"
	"github.com/initddi/initddi/internal/terminal"
)

// budget is a stage 1 and how large it may become, compressed.
type budget struct {
	Name, Config string
	Kernel       string // "cloud" or "generic"
	Class, FS    string // as initddi initramfs takes them
	Host         bool   // for one virtio machine only
	Whole        bool   // able to check every kind of signature, not only those of the trust store's keys
	XZ           bool   // instead of zstd
	Bytes        int
}

// budgets returns what the project promises (docs/ARCHITECTURE.md, sizes).
func budgets() []budget {
	return []budget{
		{Name: "minimal, cloud kernel", Config: "minimal", Kernel: "cloud", FS: "erofs", Bytes: 2_000_000},
		{Name: "minimal, cloud kernel, whatever the trust store has", Config: "minimal", Kernel: "cloud", FS: "erofs", Whole: true, Bytes: 2_200_000},
		{Name: "host, cloud kernel, --for-host on a virtio machine", Config: "host", Kernel: "cloud", FS: "erofs", Host: true, Bytes: 1_400_000},
		{Name: "the same, xz", Config: "host", Kernel: "cloud", FS: "erofs", Host: true, XZ: true, Bytes: 1_400_000},
		{Name: "minimal, generic kernel", Config: "minimal", Kernel: "generic", Class: "virtio,nvme,sata,usb,scsi,mmc", FS: "erofs", Bytes: 2_900_000},
		{Name: "minimal, generic kernel, --class all, squashfs, ext4", Config: "minimal", Kernel: "generic", Class: "all", FS: "erofs,squashfs,ext4", Bytes: 4_300_000},
		{Name: "extensions, cloud kernel", Config: "extensions", Kernel: "cloud", FS: "erofs", Bytes: 2_200_000},
		{Name: "network, cloud kernel", Config: "network", Kernel: "cloud", FS: "erofs", Bytes: 3_700_000},
		{Name: "debug, cloud kernel", Config: "debug", Kernel: "cloud", FS: "erofs", Bytes: 4_000_000},
		{Name: "debug, generic kernel", Config: "debug", Kernel: "generic", FS: "erofs", Bytes: 5_000_000},
	}
}

// virtioMachine is a virtio machine of QEMU's, started by UEFI firmware. The processor has SSSE3, AVX2 and SHA.
func virtioMachine() *kmodules.Host {
	return &kmodules.Host{
		Node: "vda1", EFI: true, CPU: "cpu:type:x86,ven0002fam0019mod0001:feature:,0089,009C,0125,013D,",
		Way: []kmodules.Device{
			{Path: "devices/pci0000:00/0000:00:02.0/virtio0", Modalias: "virtio:d00000002v00001AF4", Driver: "virtio_blk", Module: "virtio_blk"},
			{Path: "devices/pci0000:00/0000:00:02.0", Modalias: "pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00", Driver: "virtio-pci", Module: "virtio_pci"},
		},
	}
}

// sizeReport is what "initddi size" finds out.
type sizeReport struct {
	Archives []archiveSize `json:"archives"`
	Busybox  []busyboxSize `json:"busybox"`
	Modules  []moduleSize  `json:"modules"`
}

type archiveSize struct {
	Name     string `json:"name"`
	Kernel   string `json:"kernel"` // release
	Size     int    `json:"size"`   // compressed
	CPIO     int64  `json:"cpio"`
	Commands int64  `json:"commands"` // uncompressed, as Modules
	Modules  int64  `json:"modules"`
	Count    int    `json:"module_count"`
	Firmware int64  `json:"firmware"`
	Budget   int    `json:"budget"`
	Over     bool   `json:"over_budget"`
}

type busyboxSize struct {
	Config     string        `json:"config"`
	Size       int64         `json:"size"`
	Compressed int           `json:"compressed"`
	Commands   []commandSize `json:"commands"`
	*symbolSizes
}

type commandSize struct {
	Name string `json:"name"`
	// Own is the size of the symbols in packages that no other command imports.
	Own int64 `json:"own"`
	// Adds is how much smaller the busybox is without the command, compressed; null where that was not built.
	Adds *int `json:"adds_compressed"`
}

type moduleSize struct {
	Kernel     string   `json:"kernel"`
	Name       string   `json:"name"`
	Size       int64    `json:"size"`
	Compressed int      `json:"compressed"` // by itself
	For        []string `json:"for"`
	// Firmware is the size of the files that are carried for it, MissingFirmware are those that it may ask for and that are not there.
	Firmware        int64    `json:"firmware"`
	MissingFirmware []string `json:"missing_firmware,omitempty"`
}

func runSize(ctx context.Context, env environment, flags *flag.FlagSet, args []string) error {
	m := &sizing{base: map[string]string{}}
	flags.StringVar(&m.cloud, "cloud", "", "the modules of Debian's cloud kernel: a tree with lib/modules in it")
	flags.StringVar(&m.generic, "generic", "", "the modules of Debian's generic kernel; without it its rows are left out")
	flags.StringVar(&m.template, "template", "templates/mkuimage.yaml", "the mkuimage template: `FILE`")
	var trust list
	flags.Var(&trust, "trust", "a certificate (PEM) for the trust store: `FILE`; can be given several times")
	top := flags.Int("top", 20, "how many packages and symbols to show")
	flags.StringVar(&m.firmware, "firmware", "", "the files that drivers ask the kernel for: a directory `PLACE` with lib/firmware in it, or that itself, or none (default: those of each tree)")
	asJSON := flags.Bool("json", false, "print JSON, with all packages and symbols")
	check := flags.Bool("check", false, "fail if a budget is exceeded")
	if _, err := parse(flags, args, 0); err != nil {
		return err
	}
	if err := required(flags, "cloud"); err != nil {
		return err
	}
	for _, name := range trust {
		b, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("cannot read a certificate of the trust store: %w", err)
		}
		m.trust = append(m.trust, initramfs.File{Name: filepath.Base(name), Data: b})
	}
	var err error
	if m.tmp, err = os.MkdirTemp("", "initddi-size-"); err != nil {
		return fmt.Errorf("cannot measure sizes: %w", err)
	}
	defer os.RemoveAll(m.tmp)
	p := terminal.NewProgress(env.Stderr)
	m.step = func(what string) { p.Step(what, 0, 0) }
	err = m.run(ctx)
	p.Done()
	if err != nil {
		return err
	}
	if *asJSON {
		err = printJSON(env.Stdout, m.report)
	} else {
		m.report.print(env.Stdout, *top)
	}
	if err != nil || !*check {
		return err
	}
	return m.report.check()
}

func (r *sizeReport) check() error {
	var over []string
	for _, a := range r.Archives {
		if a.Over {
			over = append(over, fmt.Sprintf("%s takes %d bytes, %d more than its budget of %d", a.Name, a.Size, a.Size-a.Budget, a.Budget))
		}
	}
	if len(over) > 0 {
		return fmt.Errorf("stage 1 is too large: %s", strings.Join(over, "; "))
	}
	return nil
}

// sizing gathers a report.
type sizing struct {
	cloud, generic, template string
	firmware                 string
	trust                    []initramfs.File
	tmp                      string
	step                     func(string)
	base                     map[string]string // configuration, build tags -> file of an archive with its commands
	report                   sizeReport
}

func (m *sizing) run(ctx context.Context) error {
	counted := map[string]bool{}
	for _, b := range budgets() {
		tree := m.cloud
		if b.Kernel == "generic" {
			tree = m.generic
		}
		if tree == "" {
			continue
		}
		if err := m.archive(ctx, b, tree, counted); err != nil {
			return err
		}
	}
	for _, config := range []string{"minimal", "debug"} {
		if err := m.busybox(ctx, config); err != nil {
			return err
		}
	}
	return nil
}

// tmpl is a configuration of the template, built for the trust store's keys or whole.
func (m *sizing) tmpl(config string, whole bool) initramfs.Template {
	t := initramfs.Template{File: m.template, Config: config}
	if !whole {
		t.Tags = initramfs.TagsFor(m.trust)
	}
	return t
}

// commands returns an uncompressed archive of a configuration's commands, built once.
func (m *sizing) commands(ctx context.Context, t initramfs.Template) (string, error) {
	key := strings.Join(append([]string{t.Config}, t.Tags...), "-")
	if file := m.base[key]; file != "" {
		return file, nil
	}
	img, err := initramfs.Build(ctx, initramfs.Options{Template: t, Compression: initramfs.None}, m.step)
	if err != nil {
		return "", err
	}
	file := filepath.Join(m.tmp, key+".cpio")
	if err := os.WriteFile(file, img.Data, 0o600); err != nil {
		return "", fmt.Errorf("cannot measure sizes: %w", err)
	}
	m.base[key] = file
	return file, nil
}

// archive builds one row's stage 1. Modules that no row before had are measured by themselves.
func (m *sizing) archive(ctx context.Context, b budget, tree string, counted map[string]bool) error {
	base, err := m.commands(ctx, m.tmpl(b.Config, b.Whole))
	if err != nil {
		return err
	}
	var host *kmodules.Host
	if b.Host {
		host = virtioMachine()
	}
	can, err := m.tmpl(b.Config, b.Whole).Abilities()
	if err != nil {
		return err
	}
	o, err := moduleOptions(b.Config, b.Class, b.FS, can.Merges(), host)
	if err != nil {
		return err
	}
	o.Firmware = m.firmware
	t, err := kmodules.Open(tree, "")
	if err != nil {
		return err
	}
	selection, err := kmodules.Select(t, o)
	if err != nil {
		return err
	}
	m.step(b.Name)
	build := initramfs.Options{Base: base, Modules: selection, Certificates: m.trust, Config: []byte("id=debian\n")}
	if b.XZ {
		build.Compression = initramfs.XZ
	}
	img, err := initramfs.Build(ctx, build, nil)
	if err != nil {
		return err
	}
	release := selection.Table.Release
	m.report.Archives = append(m.report.Archives, archiveSize{
		Name: b.Name, Kernel: release, Size: len(img.Data), CPIO: img.CPIOSize, Commands: img.Size(initramfs.KindBase),
		Modules: img.Size(initramfs.KindModule), Count: len(selection.Files), Firmware: img.Size(initramfs.KindFirmware), Budget: b.Bytes, Over: len(img.Data) > b.Bytes,
	})
	for _, f := range selection.Files {
		if key := release + "/" + f.Name; !counted[key] {
			counted[key] = true
			n, err := initramfs.Compressed(ctx, initramfs.Zstd, f.Data)
			if err != nil {
				return err
			}
			row := moduleSize{Kernel: release, Name: f.Name, Size: int64(len(f.Data)), Compressed: n, For: f.For}
			if i := slices.IndexFunc(selection.ModuleFirmware, func(a kmodules.ModuleFirmware) bool { return a.Module == f.Name }); i >= 0 {
				row.Firmware, row.MissingFirmware = selection.ModuleFirmware[i].Size, selection.ModuleFirmware[i].Missing
			}
			m.report.Modules = append(m.report.Modules, row)
		}
	}
	return nil
}

// busybox takes a configuration's busybox apart.
func (m *sizing) busybox(ctx context.Context, config string) error {
	t := m.tmpl(config, false)
	commands, tags, err := t.Commands()
	if err != nil {
		return err
	}
	size, compressed, _, err := m.build(ctx, t)
	if err != nil {
		return err
	}
	out := busyboxSize{Config: config, Size: size, Compressed: compressed}
	named := t
	named.Symbols = true
	_, _, binary, err := m.build(ctx, named)
	if err != nil {
		return err
	}
	if out.symbolSizes, err = readSymbols(binary); err != nil {
		return err
	}
	graph, err := importGraph(ctx, commands, tags)
	if err != nil {
		return err
	}
	own := graph.own(commands, out.Packages)
	for _, c := range commands {
		row := commandSize{Name: path.Base(c), Own: own[c]}
		// A build for each of the debug template's tools would take minutes and tell nothing about this project.
		if config == "minimal" && len(commands) > 1 {
			less := t
			less.Without = []string{c}
			_, n, _, err := m.build(ctx, less)
			if err != nil {
				return err
			}
			adds := compressed - n
			row.Adds = &adds
		}
		out.Commands = append(out.Commands, row)
	}
	slices.SortStableFunc(out.Commands, func(a, b commandSize) int { return int(b.Own - a.Own) })
	m.report.Busybox = append(m.report.Busybox, out)
	return nil
}

// build builds a busybox and compresses it by itself, unless it has symbols.
func (m *sizing) build(ctx context.Context, t initramfs.Template) (size int64, compressed int, binary []byte, err error) {
	o := initramfs.Options{Template: t, Compression: initramfs.None}
	if len(t.Without) > 0 {
		// What is left may have no init.
		o.Files = []initramfs.File{{Name: "init"}}
	}
	img, err := initramfs.Build(ctx, o, m.step)
	if err != nil {
		return 0, 0, nil, err
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(img.Data)))
	if err != nil {
		return 0, 0, nil, fmt.Errorf("cannot read the busybox: %w", err)
	}
	for _, r := range records {
		if r.Name != "bbin/bb" {
			continue
		}
		binary = make([]byte, r.FileSize)
		if _, err := io.ReadFull(io.NewSectionReader(r.ReaderAt, 0, int64(r.FileSize)), binary); err != nil {
			return 0, 0, nil, fmt.Errorf("cannot read the busybox: %w", err)
		}
	}
	if binary == nil {
		return 0, 0, nil, fmt.Errorf("cannot find bbin/bb in %s of %s", t.Config, t.File)
	}
	if !t.Symbols {
		compressed, err = initramfs.Compressed(ctx, initramfs.Zstd, binary)
	}
	return int64(len(binary)), compressed, binary, err
}

func (r *sizeReport) print(out io.Writer, top int) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "bytes\tbudget\tleft\tcpio\tcommands\tmodules\t\t  stage 1")
	for _, a := range r.Archives {
		mark := ""
		if a.Over {
			mark = "OVER"
		}
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t%d in %d\t%s\t  %s (%s)\n", a.Size, a.Budget, a.Budget-a.Size, a.CPIO, a.Commands, a.Modules, a.Count, mark, a.Name, a.Kernel)
	}
	w.Flush()
	for _, b := range r.Busybox {
		fmt.Fprintf(out, "\n%s: busybox of %d bytes, %d by itself in zstd -19; what is in it, by its symbol table, uncompressed:\n", b.Config, b.Size, b.Compressed)
		fmt.Fprintln(w, "own\tadds, zstd\t  command (own: in packages that no other command imports; adds: the busybox with and without it)")
		for _, c := range b.Commands {
			adds := "-"
			if c.Adds != nil {
				adds = strconv.Itoa(*c.Adds)
			}
			fmt.Fprintf(w, "%d\t%s\t  %s\n", c.Own, adds, c.Name)
		}
		w.Flush()
		for _, part := range []struct {
			title string
			list  []namedSize
		}{{"section", b.Sections}, {"package", b.Packages}, {"symbol", b.Symbols}} {
			fmt.Fprintf(w, "bytes\t  %s\n", part.title)
			for _, n := range part.list[:min(top, len(part.list))] {
				fmt.Fprintf(w, "%d\t  %.100s\n", n.Size, n.Name)
			}
			w.Flush()
		}
	}
	fmt.Fprintln(out, "\nmodules, each by itself:")
	fmt.Fprintln(w, "bytes\tzstd -19\tfirmware\t  module")
	for _, mod := range r.Modules {
		firmware := "-"
		if mod.Firmware > 0 || len(mod.MissingFirmware) > 0 {
			firmware = strconv.FormatInt(mod.Firmware, 10)
		}
		fmt.Fprintf(w, "%d\t%d\t%s\t  %s (%s; for %s)\n", mod.Size, mod.Compressed, firmware, mod.Name, mod.Kernel, strings.Join(mod.For, ", "))
	}
	w.Flush()
}
