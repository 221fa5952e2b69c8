// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/initddi/initddi/internal/esp"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/image"
	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/terminal"
	"github.com/initddi/initddi/internal/uki"
)

func runKeys(_ context.Context, env environment, flags *flag.FlagSet, args []string) error {
	asJSON := flags.Bool("json", false, "print JSON")
	kind := flags.String("type", keys.Types()[0], "of the image key: "+strings.Join(keys.Types(), ", "))
	rest, err := parse(flags, args, 1)
	if err != nil {
		return err
	}
	made, err := keys.MakeOf(rest[0], *kind)
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(env.Stdout, map[string]any{"made": made, "image": keys.In(rest[0], keys.Image), "secureboot": keys.In(rest[0], keys.SecureBoot)})
	}
	for _, p := range made {
		fmt.Fprintf(env.Stdout, "made %s and %s\n", p.Key, p.Cert)
	}
	if len(made) == 0 {
		fmt.Fprintf(env.Stdout, "%s has its keys already\n", rest[0])
	}
	return nil
}

func runDDI(ctx context.Context, env environment, flags *flag.FlagSet, args []string) error {
	o := image.Options{}
	flags.StringVar(&o.Output, "output", "", "write the image to `FILE`")
	flags.StringVar(&o.FileSystem, "fs", "erofs", "erofs, squashfs or ext4")
	flags.StringVar(&o.Compress, "compress", "", "mkfs.erofs's -z `ARGUMENT`, or none (default lz4hc)")
	arch := flags.String("arch", "x86-64", "architecture of the partition types: x86-64, arm64")
	flags.Int64Var(&o.SectorSize, "sector-size", 512, "of the partition table: 512 or 4096")
	flags.BoolVar(&o.Usr, "usr", false, "make an image of the tree's /usr alone, which is entered on a root in memory")
	flags.BoolVar(&o.Bare, "bare", false, "write no partition table: the file system alone, and files beside it for the rest")
	var pair keys.Pair
	flags.StringVar(&pair.Key, "key", "", "sign with the private key in `FILE` (PEM), or of a token (pkcs11:…); without it the image stays unsigned")
	flags.StringVar(&pair.Cert, "cert", "", "the key's certificate (PEM)")
	content := flags.String("content", "", "write what has to be signed, the root hash in hexadecimal, to `FILE`: for a key that lives elsewhere")
	asJSON := flags.Bool("json", false, "print JSON")
	rest, err := parse(flags, args, 1)
	if err != nil {
		return err
	}
	if err := required(flags, "output"); err != nil {
		return err
	}
	if o.Time, err = sourceDate(); err != nil {
		return err
	}
	o.Source, o.Arch = rest[0], gpt.Arch(*arch)
	if err := checkPair(pair); err != nil {
		return err
	}
	if pair.Key != "" {
		if o.Certificate, err = keys.CertificateDER(pair.Cert); err != nil {
			return err
		}
		o.Signer = pair.Sign
	}
	p := terminal.NewProgress(env.Stderr)
	o.Progress = p.Step
	res, err := image.Build(ctx, o)
	p.Done()
	if err != nil {
		return err
	}
	for _, w := range res.Warnings {
		fmt.Fprintln(env.Stderr, "initddi: warning:", w)
	}
	if *content != "" {
		if err := os.WriteFile(*content, []byte(res.RootHash), 0o644); err != nil {
			return fmt.Errorf("cannot write %s: %w", *content, err)
		}
	}
	if *asJSON {
		return printJSON(env.Stdout, res)
	}
	signed := "unsigned"
	if res.Signed {
		signed = "signed"
	}
	fmt.Fprintf(env.Stdout, "%s: %d bytes, root hash %s, %s\n", o.Output, res.Size, res.RootHash, signed)
	return nil
}

func runCombine(_ context.Context, env environment, flags *flag.FlagSet, args []string) error {
	output := flags.String("output", "", "write the image to `FILE`")
	asJSON := flags.Bool("json", false, "print JSON")
	inputs, err := parseAll(flags, args)
	if err != nil {
		return err
	}
	if err := required(flags, "output"); err != nil {
		return err
	}
	if len(inputs) < 2 {
		return usage(fmt.Errorf("cannot run %s with %d arguments: it takes two or more", flags.Name(), len(inputs)))
	}
	terminal.NewProgress(env.Stderr).Step("copying partitions", 0, 0)
	if err := image.Combine(*output, inputs); err != nil {
		return err
	}
	info, err := os.Stat(*output)
	if err != nil {
		return fmt.Errorf("cannot look at the image: %w", err)
	}
	if *asJSON {
		return printJSON(env.Stdout, map[string]any{"output": *output, "size": info.Size(), "images": inputs})
	}
	fmt.Fprintf(env.Stdout, "%s: %d bytes, out of %d images\n", *output, info.Size(), len(inputs))
	return nil
}

func runJoin(_ context.Context, env environment, flags *flag.FlagSet, args []string) error {
	sig := flags.String("signature", "", "the detached PKCS#7 signature, DER, in `FILE`")
	cert := flags.String("cert", "", "the signer's certificate (PEM), to check the signature with before it is joined")
	asJSON := flags.Bool("json", false, "print JSON")
	rest, err := parse(flags, args, 1)
	if err != nil {
		return err
	}
	if err := required(flags, "signature", "cert"); err != nil {
		return err
	}
	der, err := os.ReadFile(*sig)
	if err != nil {
		return fmt.Errorf("cannot read the signature: %w", err)
	}
	pem, err := os.ReadFile(*cert)
	if err != nil {
		return fmt.Errorf("cannot read the certificate: %w", err)
	}
	hash, err := image.Join(rest[0], der, pem)
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(env.Stdout, map[string]any{"output": rest[0], "roothash": hash, "signed": true})
	}
	fmt.Fprintf(env.Stdout, "%s: root hash %s, signed\n", rest[0], hash)
	return nil
}

func runUKI(ctx context.Context, env environment, flags *flag.FlagSet, args []string) error {
	output := flags.String("output", "", "write the UKI to `FILE`")
	stub := flags.String("stub", "", "systemd-stub, or its addon stub: `FILE`")
	kernel := flags.String("kernel", "", "the kernel: `FILE`")
	var initrds list
	flags.Var(&initrds, "initramfs", "stage 1: `FILE`; can be given several times")
	cmdline := flags.String("cmdline", "", "the kernel command line")
	microcode := flags.String("microcode", "", "a microcode cpio: `FILE`")
	osRelease := flags.String("os-release", "", "os-release for the boot menu: `FILE`")
	key := flags.String("key", "", "sign with the private key in `FILE` (PEM, RSA)")
	cert := flags.String("cert", "", "the key's certificate (PEM)")
	policy := pcrPolicyFlags(flags)
	addon := flags.Bool("addon", false, "make an addon instead: --cmdline alone, for systemd-stub's addon stub")
	asJSON := flags.Bool("json", false, "print JSON")
	if _, err := parse(flags, args, 0); err != nil {
		return err
	}
	needed := []string{"output", "stub", "kernel", "initramfs"}
	if *addon {
		needed = []string{"output", "stub", "cmdline"}
		if *kernel != "" || len(initrds) > 0 || *microcode != "" || *osRelease != "" || policy.wanted() {
			return errors.New("cannot build an addon with anything but --stub and --cmdline in it")
		}
	}
	if err := required(flags, needed...); err != nil {
		return err
	}
	if err := checkPair(keys.Pair{Key: *key, Cert: *cert}); err != nil {
		return err
	}
	if *key != "" {
		if err := uki.CheckSigner(*key, *cert, ""); err != nil {
			return fmt.Errorf("cannot sign: %w", err)
		}
	}
	o := uki.Options{Cmdline: *cmdline}
	var err error
	for _, f := range []struct {
		to   *[]byte
		name string
	}{{&o.Stub, *stub}, {&o.Kernel, *kernel}, {&o.Microcode, *microcode}, {&o.OSRelease, *osRelease}} {
		if f.name == "" {
			continue
		}
		if *f.to, err = os.ReadFile(f.name); err != nil {
			return fmt.Errorf("cannot build the UKI: %w", err)
		}
	}
	if o.Initrds, err = readInitrds(initrds); err != nil {
		return err
	}
	if o.OSRelease == nil {
		o.OSRelease = []byte("ID=initddi\nNAME=initddi\nPRETTY_NAME=\"initddi\"\n")
	}
	if o.Extra, err = policy.sections(o); err != nil {
		return err
	}
	var b []byte
	if *addon {
		b, err = uki.BuildAddon(o.Stub, o.Cmdline, "")
	} else {
		b, err = buildUKI(ctx, env, o)
	}
	if err != nil {
		return err
	}
	if err := writeUKI(ctx, *output, b, keys.Pair{Key: *key, Cert: *cert}); err != nil {
		return err
	}
	info, err := os.Stat(*output)
	if err != nil {
		return fmt.Errorf("cannot look at the UKI: %w", err)
	}
	if *asJSON {
		return printJSON(env.Stdout, map[string]any{"output": *output, "size": info.Size(), "signed": *key != ""})
	}
	fmt.Fprintf(env.Stdout, "%s: %d bytes\n", *output, info.Size())
	return nil
}

// writeUKI writes a UKI, and signs it if there is a key. One that is signed appears under its name only then: the UKI that was there
// before may be the one that boots.
func writeUKI(ctx context.Context, output string, content []byte, pair keys.Pair) error {
	fail := func(err error) error { return fmt.Errorf("cannot write the UKI: %w", err) }
	if pair.Key == "" {
		if err := os.WriteFile(output, content, 0o644); err != nil {
			return fail(err)
		}
		return nil
	}
	when, err := sourceTime()
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(output), ".uki-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(tmp)
	unsigned := filepath.Join(tmp, filepath.Base(output))
	if err := os.WriteFile(unsigned, content, 0o644); err != nil {
		return fail(err)
	}
	return uki.Sign(ctx, unsigned, output, pair.Key, pair.Cert, uki.SignOptions{Time: when})
}

func runDisk(ctx context.Context, env environment, flags *flag.FlagSet, args []string) error {
	output := flags.String("output", "", "write the disk to `FILE`")
	o := esp.Options{}
	var files, readOnly list
	flags.Var(&files, "file", "put a file on the ESP: `PATH=SOURCE`; can be given several times")
	flags.Var(&readOnly, "image", "the same for an image, which gets FAT's read-only attribute: `PATH=SOURCE`")
	var espSize, diskSize, cluster size
	flags.Var(&espSize, "esp-size", "of the ESP (default: what the files need)")
	flags.Var(&diskSize, "size", "of the disk (default: what the ESP needs)")
	flags.Var(&cluster, "cluster-size", "of the FAT")
	flags.IntVar(&o.FATType, "fat", 0, "12, 16 or 32 (default: by size)")
	flags.StringVar(&o.Label, "label", "", "of the FAT")
	flags.Int64Var(&o.SectorSize, "sector-size", 512, "of the disk: 512 or 4096")
	fragments := flags.Int("fragments", 1, "split each image into that many pieces, for tests")
	seed := flags.String("seed", "", "a `UUID` from which all others are made (default: a fixed one)")
	asJSON := flags.Bool("json", false, "print JSON")
	if _, err := parse(flags, args, 0); err != nil {
		return err
	}
	if err := required(flags, "output"); err != nil {
		return err
	}
	o.ESPSize, o.Size, o.ClusterSize = int64(espSize), int64(diskSize), int64(cluster)
	var err error
	if o.Time, err = sourceTime(); err != nil {
		return err
	}
	if *seed != "" {
		if o.Seed, err = guid.Parse(*seed); err != nil {
			return fmt.Errorf("cannot use --seed: %w", err)
		}
	}
	for i, l := range []list{files, readOnly} {
		for _, f := range l {
			to, from, ok := strings.Cut(f, "=")
			if !ok {
				return fmt.Errorf("cannot put %q on the ESP: it is not PATH=SOURCE", f)
			}
			file := esp.File{Path: to, Source: from, ReadOnly: i == 1}
			if i == 1 {
				file.Fragments = *fragments
			}
			o.Files = append(o.Files, file)
		}
	}
	terminal.NewProgress(env.Stderr).Step("making the disk", 0, 0)
	table, err := esp.Build(ctx, *output, o)
	if err != nil {
		return err
	}
	info, err := os.Stat(*output)
	if err != nil {
		return fmt.Errorf("cannot look at the disk: %w", err)
	}
	if *asJSON {
		p := table.Partitions[0]
		return printJSON(env.Stdout, map[string]any{"output": *output, "size": info.Size(), "esp": map[string]any{
			"uuid": p.UUID.String(), "offset": p.Offset(table.SectorSize), "size": p.Size(table.SectorSize),
		}})
	}
	fmt.Fprintf(env.Stdout, "%s: %d bytes\n", *output, info.Size())
	return nil
}
