// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/ability"
	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/initramfs"
	"github.com/initddi/initddi/internal/kmodules"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/terminal"
)

// defaultClasses are taken where the kernel has them, if nobody says --class.
const defaultClasses = "virtio,nvme,sata,usb,scsi,mmc,tpm"

func runInitramfs(ctx context.Context, env environment, flags *flag.FlagSet, args []string) error {
	return sourceHint(makeStage1(ctx, env, flags, args), flags)
}

func makeStage1(ctx context.Context, env environment, flags *flag.FlagSet, args []string) error {
	output := flags.String("output", "", "write the archive to `FILE`")
	template := flags.String("template", defaultTemplate, "the mkuimage template: `FILE`")
	config := flags.String("config", "", "the configuration in it: minimal, extensions, network, debug, locked, or host, which is storageinit alone (default: minimal; with --for-host: host)")
	dir := flags.String("dir", "", "a directory of the Go module that names the commands' versions, as initddi's source tree does, in which the default template is as well (default: this one)")
	base := flags.String("base", "", "take the commands from an uncompressed archive that u-root or mkuimage made: `FILE`")
	goarch := flags.String("goarch", "", "build for another architecture, as Go calls it")
	modules := flags.String("modules", "", "the kernel's modules: a tree with lib/modules in it, or lib/modules/RELEASE itself; without it none are carried")
	release := flags.String("release", "", "the kernel's release, if the tree has several")
	firmware := flags.String("firmware", "", "the files that drivers ask the kernel for: a directory `PLACE` with lib/firmware in it, or that itself, or none (default: those of the system that --modules is of)")
	class := flags.String("class", "", "driver `CLASSES`, a list of these, or all, which are those of disks but raid and fc, of which the kernel has a driver:\n"+describeClasses()+"default: "+defaultClasses+", where the kernel has them, and net with --config=network; with --for-host: what is on the way to its disk, and a TPM")
	var host hostFlags
	host.define(flags)
	features := flags.String("fs", "erofs", "file systems of images, a list out of erofs, squashfs, ext4")
	var trust, settings, images list
	flags.Var(&trust, "trust", "accept what the key of this certificate (PEM) signed: `FILE`; can be given several times")
	flags.Var(&settings, "set", "a line `KEY=VALUE` of stage1.conf, which is checked against what this stage 1 can do; can be given several times")
	flags.Var(&images, "image", "carry this boot image, for ddi.source=initrd: `FILE`; can be given several times")
	ca := flags.String("ca", "", "check https servers with these CA certificates (PEM), for templates with ddifetch: `FILE`")
	lines := flags.Bool("lines", false, "leave the commands the numbers of their source lines, for stack traces: larger by an eighth, and otherwise the same")
	compress := flags.String("compress", "zstd", "zstd, xz or none")
	asJSON := flags.Bool("json", false, "print JSON: the size of every part")
	if _, err := parse(flags, args, 0); err != nil {
		return err
	}
	if err := required(flags, "output"); err != nil {
		return err
	}
	o := initramfs.Options{
		Template: initramfs.Template{File: templateFile(*template, *dir), Config: cmp.Or(*config, host.config()), Dir: *dir, GOARCH: *goarch, Lines: *lines}, Base: *base,
		Compression: initramfs.Compression(*compress),
	}
	if *base != "" {
		o.Template = initramfs.Template{}
	}
	var err error
	if o.Time, err = sourceDate(); err != nil {
		return err
	}
	machine, err := host.find(ctx)
	if err != nil {
		return err
	}
	if host.forHost && *modules == "" {
		if *modules, err = host.modules(); err != nil {
			return err
		}
	}
	if err := needModules(flags, *modules); err != nil {
		return err
	}
	can, err := o.Abilities()
	if err != nil {
		return err
	}
	if *modules != "" {
		if o.Modules, err = selectModules(*modules, *release, can, *config, *class, *features, *firmware, machine); err != nil {
			return err
		}
	}
	var told *plan.Plan
	if o.Certificates, o.Config, told, err = baked(trust, settings, can); err != nil {
		return err
	}
	if o.Files, err = moreFiles(*ca, can, images, told); err != nil {
		return err
	}
	p := terminal.NewProgress(env.Stderr)
	img, err := initramfs.Build(ctx, o, func(what string) { p.Step(what, 0, 0) })
	p.Done()
	if err != nil {
		return err
	}
	// A template may name commands by a pattern; now they are known.
	if _, err := planFor(img.Abilities, o.Config, nil); err != nil {
		return err
	}
	if err := os.WriteFile(*output, img.Data, 0o644); err != nil {
		return fmt.Errorf("cannot write stage 1: %w", err)
	}
	warnOfFirmware(env, *firmware, o.Modules)
	return printStage1(env.Stdout, *output, img, o.Modules, machine, *asJSON)
}

// printStage1 says what was made. modules and machine are nil where there are none.
func printStage1(w io.Writer, output string, img *initramfs.Image, modules *kmodules.Selection, machine *kmodules.Host, asJSON bool) error {
	if asJSON {
		out := map[string]any{"output": output, "size": len(img.Data), "cpio_size": img.CPIOSize, "parts": img.Parts}
		if modules != nil {
			out["choices"] = modules.Choices
			out["firmware"] = modules.ModuleFirmware
		}
		if machine != nil {
			out["host"] = machine
		}
		return printJSON(w, out)
	}
	if machine != nil {
		printChoices(w, machine, modules)
	}
	carried := ""
	if n := img.Size(initramfs.KindFirmware); n > 0 {
		carried = fmt.Sprintf(", firmware %d", n)
		for _, f := range modules.ModuleFirmware {
			if f.Size > 0 {
				fmt.Fprintf(w, "firmware of %s: %d bytes, %d of the %d files that it may ask for\n", f.Module, f.Size, len(f.Carried), len(f.Carried)+len(f.Missing))
			}
		}
	}
	_, err := fmt.Fprintf(w, "%s: %d bytes (%d before compression): commands %d, modules %d%s\n", output, len(img.Data), img.CPIOSize,
		img.Size(initramfs.KindBase), img.Size(initramfs.KindModule), carried)
	return err
}

// warnOfFirmware says which drivers have none of the files that they ask for.
func warnOfFirmware(env environment, from string, s *kmodules.Selection) {
	if s == nil || from == kmodules.NoFirmware {
		return
	}
	for _, f := range s.ModuleFirmware {
		if f.Lacks() {
			fmt.Fprintln(env.Stderr, "initddi: warning:", f.Warning())
		}
	}
}

func selectModules(place, release string, can ability.Set, config, class, features, firmware string, host *kmodules.Host) (*kmodules.Selection, error) {
	o, err := moduleOptions(config, class, features, can.Merges(), host)
	if err != nil {
		return nil, err
	}
	o.Firmware = firmware
	tree, err := kmodules.Open(place, release)
	if err != nil {
		return nil, err
	}
	return kmodules.Select(tree, o)
}

// moduleOptions understands --class and --fs for a configuration, which merges extensions if merge is set. host is the only machine that stage 1 is for, nil if it is for any.
func moduleOptions(config, class, features string, merge bool, host *kmodules.Host) (kmodules.Options, error) {
	o := kmodules.Options{Features: []string{"loop", "dm", "verity"}, OptionalFeatures: []string{"efivarfs"}, Host: host}
	switch {
	case class == "" && host == nil:
		o.OptionalClasses = strings.Split(defaultClasses, ",")
		if config == "network" {
			o.OptionalClasses = append(o.OptionalClasses, "net")
			o.OptionalFeatures = append(o.OptionalFeatures, kmodules.NetworkFeatures()...)
		}
	case class == "":
		o.OptionalClasses = kmodules.StorageClassNames()
	default:
		addClasses(&o, class)
	}
	if merge {
		o.OptionalFeatures = append(o.OptionalFeatures, "overlay")
	}
	for _, f := range strings.Split(features, ",") {
		switch f {
		case "erofs", "squashfs", "ext4":
			o.Features = append(o.Features, f)
		default:
			return o, fmt.Errorf("cannot carry file system %q: only erofs, squashfs and ext4", f)
		}
	}
	return o, nil
}

// needModules refuses options that say which modules are carried where none are.
func needModules(flags *flag.FlagSet, modules string) error {
	var err error
	flags.Visit(func(f *flag.Flag) {
		if modules == "" && slices.Contains([]string{"class", "fs", "release"}, f.Name) {
			err = errors.Join(err, fmt.Errorf("cannot use --%s without --modules: no module is carried", f.Name))
		}
	})
	return err
}

// moreFiles are those of --ca and --image, for a stage 1 with these abilities and this plan.
func moreFiles(ca string, can ability.Set, images list, p *plan.Plan) ([]initramfs.File, error) {
	if ca != "" && !can.Fetches() {
		return nil, fmt.Errorf("cannot use --ca %s: this stage 1 has no ddifetch, and so asks no server; --config=network and debug have it", ca)
	}
	out, err := caFiles(ca)
	if err != nil {
		return nil, err
	}
	carried, err := imageFiles(images, p)
	return append(out, carried...), err
}

// caFiles reads the CA certificates, if there are to be any, and puts them where ddifetch looks for them.
func caFiles(name string) ([]initramfs.File, error) {
	if name == "" {
		return nil, nil
	}
	b, err := os.ReadFile(name)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(b) {
		err = errors.New("no certificate in it (PEM)")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use --ca %s: %w", name, err)
	}
	return []initramfs.File{{Name: initramfs.CAFile, Data: b}}, nil
}

// imageFiles reads the boot images that stage 1 carries, and puts them where it looks for them. One that it would refuse by its plan is
// of no use in it.
func imageFiles(names list, p *plan.Plan) ([]initramfs.File, error) {
	var out []initramfs.File
	for _, name := range names {
		base := filepath.Base(name)
		if !strings.HasSuffix(strings.ToLower(base), ".raw") {
			return nil, fmt.Errorf("cannot use --image %s: stage 1 looks for files *.raw", name)
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("cannot use --image %s: %w", name, err)
		}
		img, err := ddi.Read(bytes.NewReader(b), int64(len(b)), base, ddi.Options{Plan: p})
		if err == nil && img.Refusal != nil {
			err = img.Refusal
		}
		if err != nil {
			return nil, fmt.Errorf("cannot use --image %s: %w", name, err)
		}
		out = append(out, initramfs.File{Name: initramfs.ImageDir + "/" + base, Data: b, Mode: 0o444})
	}
	return out, nil
}

// addClasses adds the classes of a list, and what goes with network cards if there are any among them.
func addClasses(o *kmodules.Options, list string) {
	for _, name := range strings.Split(list, ",") {
		if name == "all" {
			o.OptionalClasses = append(o.OptionalClasses, kmodules.UsualClassNames()...)
			continue
		}
		o.Classes = append(o.Classes, name)
		if slices.ContainsFunc(kmodules.Classes(), func(c kmodules.Class) bool { return c.Name == name && c.IsNetwork() }) {
			o.OptionalFeatures = append(o.OptionalFeatures, kmodules.NetworkFeatures()...)
		}
	}
}

// baked reads the trust store and checks the settings as a stage 1 that can do these things will: a mistake is found here, not at the
// console. It returns the plan, too.
func baked(trust, settings []string, can ability.Set) ([]initramfs.File, []byte, *plan.Plan, error) {
	var certs []initramfs.File
	var store []plan.CertificateFile
	for _, name := range trust {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("cannot read a certificate of the trust store: %w", err)
		}
		certs = append(certs, initramfs.File{Name: filepath.Base(name), Data: b})
		store = append(store, plan.CertificateFile{Name: name, PEM: b})
	}
	var config []byte
	if len(settings) > 0 {
		config = []byte(strings.Join(settings, "\n") + "\n")
	}
	p, err := planFor(can, config, store)
	if err != nil {
		return nil, nil, nil, err
	}
	for i, c := range p.Trust {
		if err := c.CheckKey(); err != nil {
			return nil, nil, nil, fmt.Errorf("cannot trust %s: %w", trust[i], err)
		}
	}
	if len(p.Trust) == 0 && len(p.Pins) == 0 {
		return nil, nil, nil, errors.New("cannot build a stage 1 that accepts nothing: give --trust, or --set pin=ROOTHASH")
	}
	certs, err = nameCertificates(certs)
	return certs, config, p, err
}

// planFor makes the plan that a stage 1 with these abilities would.
func planFor(can ability.Set, config []byte, store []plan.CertificateFile) (*plan.Plan, error) {
	in := can.Input()
	in.Config, in.Certificates = config, store
	p, err := plan.New(in)
	if errors.Is(err, plan.ErrNotHere) {
		err = fmt.Errorf("%w (--config and --template choose what is built in)", err)
	}
	return p, err
}
