// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/initddi/initddi/internal/esp"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/image"
	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/vmtest/guest"
)

// arch is the architecture that the good images are for.
const arch = gpt.X86_64

// Goods makes the good images and disks that are altered, and keeps them in a directory. It is safe for concurrent use.
type Goods struct {
	Dir  string
	Keys *Keys

	mu   sync.Mutex
	made map[string][]byte
}

// NewGoods makes what is asked for in dir.
func NewGoods(dir string) *Goods {
	return &Goods{Dir: dir, Keys: &Keys{Dir: filepath.Join(dir, "keys")}, made: map[string][]byte{}}
}

// goodDisk is how a good disk is made.
type goodDisk struct {
	fat       int
	size      int64
	cluster   int64
	fragments int
}

// goodDisks are the good disks, each with the good image at imagePath and another file beside it.
func goodDisks() map[string]goodDisk {
	return map[string]goodDisk{
		"plain":     {fat: 12, size: 8 << 20, cluster: 4096},
		"fat16":     {fat: 16, size: 16 << 20, cluster: 2048},
		"fat32":     {fat: 32, size: 36 << 20, cluster: 512},
		"fragments": {fat: 12, size: 8 << 20, cluster: 4096, fragments: 100},
	}
}

// once returns what was made under a name, making it the first time.
func (g *Goods) once(name string, do func(path string) error) ([]byte, error) {
	if b := g.made[name]; b != nil {
		return b, nil
	}
	path := filepath.Join(g.Dir, name)
	if err := do(path); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	g.made[name] = b
	return b, nil
}

// Image returns a good image: "ddi", named after the key, or "other", which the same key signed and which differs in one file.
func (g *Goods) Image(name string) ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.image(name)
}

func (g *Goods) image(name string) ([]byte, error) {
	return g.once("image-"+name, func(path string) error {
		tree := filepath.Join(g.Dir, "tree-"+name)
		if err := writeTree(tree, name); err != nil {
			return err
		}
		pair, err := g.Keys.Pair(good)
		if err != nil {
			return err
		}
		der, err := keys.CertificateDER(pair.Cert)
		if err != nil {
			return err
		}
		_, err = image.Build(context.Background(), image.Options{Source: tree, Output: path, Arch: arch, Compress: "none", Signer: pair.Sign, Certificate: der})
		return err
	})
}

// writeTree writes what an image holds: enough to be taken for a boot image, and the payload.
func writeTree(root, name string) error {
	for _, dir := range []string{"dev", "proc", "sys", "run", "sbin", "etc", filepath.Dir(guest.PayloadPath)} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		path string
		data []byte
		mode os.FileMode
	}{
		{"etc/os-release", []byte("ID=debian\nVERSION_ID=13\nVARIANT_ID=" + name + "\n"), 0o644},
		{"sbin/init", []byte("#!/bin/sh\n"), 0o755},
		{guest.PayloadPath, guest.Payload(), 0o644},
	} {
		if err := os.WriteFile(filepath.Join(root, f.path), f.data, f.mode); err != nil {
			return err
		}
	}
	return nil
}

// Disk returns the good disk called name.
func (g *Goods) Disk(name string) ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	how, ok := goodDisks()[name]
	if !ok {
		return nil, fmt.Errorf("cannot make disk %q: no table names it", name)
	}
	if _, err := g.image(good); err != nil {
		return nil, err
	}
	return g.once("disk-"+name, func(path string) error {
		_, err := esp.Build(context.Background(), path, how.options(filepath.Join(g.Dir, "image-"+good)))
		return err
	})
}

// options returns what the disk is made of.
func (d goodDisk) options(image string) esp.Options {
	return esp.Options{FATType: d.fat, ESPSize: d.size, ClusterSize: d.cluster, Files: []esp.File{
		{Path: "/" + imagePath, Source: image, ReadOnly: true, Fragments: d.fragments},
		{Path: "/loader/entry.txt", Data: []byte("something that is no image\n")},
	}}
}

// rootHash returns the good image's root hash in hexadecimal.
func (g *Goods) rootHash() (string, error) {
	d, err := g.ddi(good)
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(d.RootHash), nil
}

func (g *Goods) ddi(name string) (*DDI, error) {
	b, err := g.Image(name)
	if err != nil {
		return nil, err
	}
	return newDDI(b, g.Keys)
}

// fingerprint returns the SHA-256 of a key's certificate, as deny-cert takes it.
func (g *Goods) fingerprint(key string) (string, error) {
	p, err := g.Keys.Pair(key)
	if err != nil {
		return "", err
	}
	der, err := keys.CertificateDER(p.Cert)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}
