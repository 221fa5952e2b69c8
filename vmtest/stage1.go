// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/initddi/initddi/internal/initramfs"
	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/kmodules"
	"github.com/initddi/initddi/internal/ovmf"
	"github.com/initddi/initddi/internal/uki"
)

// commands returns an archive with the commands of a configuration of templates/mkuimage.yaml and nothing else. Compiling
// them is what takes longest, so it is done again only when their sources have changed.
func (w *Workshop) commands(ctx context.Context, config string) (string, error) {
	sum, err := w.sources(ctx, "./cmds/storageinit", "./cmds/ddimount", "./cmds/ddifetch", "./cmds/sysextmerge", "./internal/initramfs")
	if err != nil {
		return "", err
	}
	template := filepath.Join(w.Module, "templates/mkuimage.yaml")
	rest, err := hashFiles(template, filepath.Join(w.Module, "templates/locked.conf"), filepath.Join(w.Module, "go.mod"))
	if err != nil {
		return "", err
	}
	return w.shared("commands", "commands-"+config+".cpio", sum+rest, func(tmp string) error {
		img, err := initramfs.Build(ctx, initramfs.Options{
			Template: initramfs.Template{File: template, Config: config, Dir: w.Module}, Compression: initramfs.None,
		}, func(string) {})
		if err != nil {
			return err
		}
		return os.WriteFile(tmp, img.Data, 0o644)
	})
}

// Stage1 returns the archive of the stage 1 called name for a kernel.
func (w *Workshop) Stage1(ctx context.Context, name, kernelName string, compression initramfs.Compression) (string, error) {
	s, ok := w.stages[cmp.Or(name, "minimal")]
	if !ok {
		return "", fmt.Errorf("cannot make stage 1 %q: no table names it", name)
	}
	k, err := w.kernel(kernelName)
	if err != nil {
		return "", err
	}
	base, err := w.commands(ctx, cmp.Or(s.Config, "minimal"))
	if err != nil {
		return "", err
	}
	set := s.Set
	if set == nil {
		set = []string{"id=debian"}
	}
	if set, err = w.fillAll(ctx, set); err != nil {
		return "", err
	}
	o := initramfs.Options{Base: base, Compression: cmp.Or(s.Compression, compression)}
	for _, line := range set {
		o.Config = append(o.Config, line+"\n"...)
	}
	trust := s.Trust
	if trust == nil {
		trust = []string{keys.Image}
	}
	for _, t := range trust {
		pair, err := w.pair(t)
		if err != nil {
			return "", err
		}
		pem, err := os.ReadFile(pair.Cert)
		if err != nil {
			return "", err
		}
		o.Certificates = append(o.Certificates, initramfs.File{Name: t + ".crt", Data: pem})
	}
	if o.Files, err = w.caFiles(s.CA); err != nil {
		return "", err
	}
	if s.Image != "" {
		file, err := w.Image(ctx, s.Image)
		if err != nil {
			return "", err
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		o.Files = append(o.Files, initramfs.File{Name: initramfs.ImageDir + "/" + s.Image + ".raw", Data: b, Mode: 0o444})
	}
	return w.make("stage1-"+s.Name+"-"+cmp.Or(kernelName, "cloud")+"."+string(o.Compression), []any{w.self, s, base, k, set, o.Certificates, o.Files, w.hostKey(&s)}, func(tmp string) error {
		if o.Modules, err = w.modules(ctx, &s, k); err != nil {
			return err
		}
		img, err := initramfs.Build(ctx, o, nil)
		if err != nil {
			return err
		}
		return os.WriteFile(tmp, img.Data, 0o644)
	})
}

// firmware makes a directory with the firmware of a stage 1.
func (w *Workshop) firmware(s *Stage1) (string, error) {
	dir, err := os.MkdirTemp("", "initddi-firmware-")
	if err != nil {
		return "", err
	}
	for name, size := range s.Firmware {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, make([]byte, size), 0o644)); err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	return dir, nil
}

// modules selects the kernel modules as "initddi initramfs" does; none for a kernel without.
func (w *Workshop) modules(ctx context.Context, s *Stage1, k *kernel) (*kmodules.Selection, error) {
	if k.Modules == "" {
		return nil, nil
	}
	tree, err := kmodules.Open(k.Modules, "")
	if err != nil {
		return nil, err
	}
	o := kmodules.Options{Features: []string{"loop", "dm", "verity"}, OptionalFeatures: []string{"efivarfs"}}
	if o.Classes = s.Classes; s.Classes == nil {
		o.OptionalClasses = []string{"virtio", "nvme", "sata", "usb", "scsi", "mmc"}
	}
	if slices.ContainsFunc(kmodules.Classes(), func(c kmodules.Class) bool { return c.IsNetwork() && slices.Contains(s.Classes, c.Name) }) {
		o.OptionalFeatures = append(o.OptionalFeatures, kmodules.NetworkFeatures()...)
	}
	o.Modules = s.Modules
	if o.Firmware, err = w.firmware(s); err != nil {
		return nil, err
	}
	defer os.RemoveAll(o.Firmware)
	if s.Config == "extensions" || s.Config == "debug" {
		o.Features = append(o.Features, "overlay")
	}
	if s.FileSystems == nil {
		o.Features = append(o.Features, "erofs")
	}
	o.Features = append(o.Features, s.FileSystems...)
	if s.Host != "" {
		if o.Host, err = w.host(ctx, s.Host); err != nil {
			return nil, err
		}
		o.OptionalClasses = kmodules.ClassNames()
	}
	selection, err := kmodules.Select(tree, o)
	if err != nil || s.Broken == "" {
		return selection, err
	}
	for i, f := range selection.Files {
		if f.Name == s.Broken {
			selection.Files[i].Data = f.Data[:len(f.Data)/2]
			return selection, nil
		}
	}
	return nil, fmt.Errorf("cannot break module %s: stage 1 %s does not carry it", s.Broken, s.Name)
}

// UKI returns the signed UKI of a cell.
func (w *Workshop) UKI(ctx context.Context, c *Cell, cmdline string) (string, error) {
	stub := filepath.Join(w.Build, "debian/boot/linuxx64.efi.stub")
	if suite := map[string]string{"12": "bookworm", "262": "forky"}[c.Stub]; suite != "" {
		root, err := w.fetched("stub-"+c.Stub, suite, "systemd-boot-efi")
		if err != nil {
			return "", err
		}
		stub = filepath.Join(root, "usr/lib/systemd/boot/efi/linuxx64.efi.stub")
	}
	o := uki.Options{Cmdline: cmdline, OSRelease: []byte("ID=initddi\nNAME=initddi\nPRETTY_NAME=\"initddi\"\n")}
	var err error
	if o.Stub, err = os.ReadFile(stub); err != nil {
		return "", &MissingError{What: stub + " (just tree makes it)"}
	}
	k, err := w.kernel(c.Kernel)
	if err != nil {
		return "", err
	}
	stage1, err := w.Stage1(ctx, c.Stage1, c.Kernel, initramfs.Zstd)
	if err != nil {
		return "", err
	}
	pair, err := w.pair(keys.SecureBoot)
	if err != nil {
		return "", err
	}
	cert, err := hashFiles(pair.Cert)
	if err != nil {
		return "", err
	}
	return w.make("uki-"+c.Name+".efi", []any{w.self, sha256.Sum256(o.Stub), k, stage1, cmdline, cert, c.PolicyKey, c.Afterwards}, func(tmp string) error {
		if o.Kernel, err = os.ReadFile(k.Image); err != nil {
			return err
		}
		initrd, err := os.ReadFile(stage1)
		if err != nil {
			return err
		}
		o.Initrds = [][]byte{initrd}
		if c.PolicyKey != "" {
			if o.Extra, err = w.policySections(c.PolicyKey, o); err != nil {
				return err
			}
			o.Cmdline += c.Afterwards
		}
		b, err := uki.Build(o)
		if err != nil {
			return err
		}
		if err := os.WriteFile(tmp, b, 0o644); err != nil {
			return err
		}
		return uki.Sign(ctx, tmp, tmp, pair.Key, pair.Cert, uki.SignOptions{})
	})
}

// placedUKI returns a signed UKI that lies on a disk beside the one of the cell.
func (w *Workshop) placedUKI(ctx context.Context, p Place) (string, error) {
	sum := sha256.Sum256([]byte(p.UKI + " " + p.Cmdline))
	c := &Cell{Name: fmt.Sprintf("placed-%x", sum[:4]), Stage1: p.UKI, Cmdline: p.Cmdline}
	cmdline, err := w.cmdline(ctx, c)
	if err != nil {
		return "", err
	}
	return w.UKI(ctx, c, cmdline)
}

// signatureOf returns the detached signature of a text that is placed.
func (w *Workshop) signatureOf(ctx context.Context, p Place) (string, error) {
	pair, err := w.pair(p.SignedBy)
	if err != nil {
		return "", err
	}
	cert, err := hashFiles(pair.Cert)
	if err != nil {
		return "", err
	}
	key := sha256.Sum256([]byte(p.SignedBy + p.Text))
	return w.make(fmt.Sprintf("signature-%x.p7s", key[:4]), []any{w.self, p, cert}, func(tmp string) error {
		der, err := pair.Sign(ctx, []byte(p.Text))
		if err != nil {
			return err
		}
		return os.WriteFile(tmp, der, 0o644)
	})
}

// Addon returns a signed addon with that command line.
func (w *Workshop) Addon(ctx context.Context, cmdline string) (string, error) {
	name := filepath.Join(w.Build, "debian/boot/addonx64.efi.stub")
	stub, err := os.ReadFile(name)
	if err != nil {
		return "", &MissingError{What: name + " (just tree makes it)"}
	}
	pair, err := w.pair(keys.SecureBoot)
	if err != nil {
		return "", err
	}
	cert, err := hashFiles(pair.Cert)
	if err != nil {
		return "", err
	}
	key := sha256.Sum256([]byte(cmdline))
	return w.make(fmt.Sprintf("addon-%x.efi", key[:4]), []any{w.self, sha256.Sum256(stub), cmdline, cert}, func(tmp string) error {
		b, err := uki.BuildAddon(stub, cmdline, "")
		if err != nil {
			return err
		}
		if err := os.WriteFile(tmp, b, 0o644); err != nil {
			return err
		}
		return uki.Sign(ctx, tmp, tmp, pair.Key, pair.Cert, uki.SignOptions{})
	})
}

// noVariables is an empty variable store.
const noVariables = "/usr/share/OVMF/OVMF_VARS_4M.fd"

// Variables returns a variable store: one in which Secure Boot is on and our key the only one, unless the cell's machine trusts another, or an
// empty one.
func (w *Workshop) Variables(ctx context.Context, c *Cell) (string, error) {
	b, err := os.ReadFile(noVariables)
	if err != nil {
		return "", &MissingError{What: noVariables + " (Debian package ovmf)"}
	}
	if c.Firmware != SecureBoot && c.Firmware != SecureHTTPBoot {
		return noVariables, nil
	}
	pair, err := w.pair(keys.SecureBoot)
	if err != nil {
		return "", err
	}
	der, err := keys.CertificateDER(pair.Cert)
	if err != nil {
		return "", err
	}
	db := [][]byte{der}
	if c.Vendor {
		k, err := w.kernel(c.Kernel)
		if err != nil {
			return "", err
		}
		signer, err := w.signerOf(ctx, k.Image)
		if err != nil {
			return "", err
		}
		db = append(db, signer)
	}
	return w.make("vars.fd", []any{w.self, sha256.Sum256(b), db}, func(tmp string) error {
		b, err := ovmf.Enroll(b, ovmf.Keys{PK: der, KEK: [][]byte{der}, DB: db})
		if err != nil {
			return err
		}
		return os.WriteFile(tmp, b, 0o644)
	})
}

// signerOf returns the certificate, in DER, that is in a kernel's Authenticode signature. Whoever enrols it trusts this one signer, and not, as
// shim does, all whom the vendor's authority may name yet.
func (w *Workshop) signerOf(ctx context.Context, kernel string) ([]byte, error) {
	tmp, err := os.MkdirTemp("", "initddi-signer-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	signature := filepath.Join(tmp, "signature")
	if _, err := w.run(ctx, nil, "sbattach", "--detach", signature, kernel); err != nil {
		return nil, err
	}
	text, err := w.run(ctx, nil, "openssl", "pkcs7", "-inform", "DER", "-in", signature, "-print_certs")
	if err != nil {
		return nil, err
	}
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, fmt.Errorf("cannot find the signer of %s: its signature has no certificate", kernel)
		}
		if block.Type == "CERTIFICATE" {
			return block.Bytes, nil
		}
		text = rest
	}
}
