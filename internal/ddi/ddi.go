// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package ddi looks at, checks, mounts and unmounts one discoverable disk image outside of a boot.
//
// It has no opinion of its own about what is acceptable: the bytes are read by package discover, judged by package resolve
// and brought up by package apply, which are what stage 1 boots with, so that the answer here is the answer there. What it
// adds is the report for people, the check of every block, and the way to a directory and back.
package ddi

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/extent"
	"github.com/initddi/initddi/internal/fsprobe"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/policy"
	"github.com/initddi/initddi/internal/resolve"
	"github.com/initddi/initddi/internal/signature"
	"github.com/initddi/initddi/internal/verity"
)

// ErrNotDDI says that a file has no partition table, and so is no image of this kind.
var ErrNotDDI = errors.New("not a disk image")

// Options say how an image is judged.
type Options struct {
	// Plan holds the trust store, the pins and the lists of denied things.
	Plan *plan.Plan
	// RootHash, if it is not nil, is the only root hash that will do, and it is accepted without a signature, as a pin that
	// is baked into stage 1 is.
	RootHash []byte
	// Policy, if it is not nil, takes the place of the plan's image policy.
	Policy *policy.Policy
	// Signature, if it is not nil, is a detached PKCS#7 signature (DER) of the root hash, taken in place of the image's own.
	Signature []byte
	// Unverified lets the report tell what an image that was refused says of itself.
	Unverified bool
}

// Image is an image file or a block device that was opened and judged. It is not safe for concurrent use.
type Image struct {
	// Refusal says why stage 1 would not take the image, as far as that shows without reading all of it; nil if it would.
	Refusal *resolve.Refusal
	// Architecture is the one whose partitions were judged: this machine's, else the only one that the image is for.
	Architecture gpt.Arch

	r      io.ReaderAt
	file   *os.File // nil for an image from [Read]
	name   string
	size   int64
	plan   *plan.Plan
	facts  resolve.Image
	verity verityFacts
	shown  bool // what the image says of itself may be shown
}

// verityFacts is what lies below the signature. It is filled for an accepted image, or where unverified facts were asked for.
type verityFacts struct {
	data, hash gpt.Partition
	rootHash   []byte
	sb         *verity.Superblock
	fs         fsprobe.FS
}

// Open opens and judges the image at path, a file or a block device. Errors are those of [Read].
func Open(path string, o Options) (*Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the image: %w", err)
	}
	img, err := open(f, o)
	if err != nil {
		f.Close()
		return nil, err
	}
	return img, nil
}

func open(f *os.File, o Options) (*Image, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot look at the image: %w", err)
	}
	if info.IsDir() {
		return nil, fmt.Errorf("cannot use %s: it is a directory: %w", f.Name(), ErrNotDDI)
	}
	// A block device has no size to stat.
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("cannot find the size of %s: %w", f.Name(), err)
	}
	img, err := Read(f, size, filepath.Base(f.Name()), o)
	if err != nil {
		return nil, err
	}
	img.file = f
	return img, nil
}

// Read judges the image of size bytes in r, wherever that is. It cannot be mounted, only looked at and validated. name is
// for people. The error is about reading; what is wrong with an image that has a partition table is in the Image. It wraps
// [ErrNotDDI] where there is none.
func Read(r io.ReaderAt, size int64, name string, o Options) (*Image, error) {
	img := &Image{r: r, name: name, size: size}
	var err error
	if img.facts.Table, err = gpt.Read(r, size, 0); err != nil {
		return nil, fmt.Errorf("cannot read the partition table of %s: %w: %w", name, ErrNotDDI, err)
	}
	img.facts.Extents = extent.List{{Length: size}}
	if img.Architecture, err = architecture(img.facts.Table); err != nil {
		return nil, err
	}
	img.plan = o.narrowed()
	img.judge(o)
	return img, nil
}

// narrowed returns the plan that the options make: one that takes their root hash, and no other, and their policy.
func (o Options) narrowed() *plan.Plan {
	out := plan.Plan{Policy: plan.DefaultPolicy(false)}
	if o.Plan != nil {
		out = *o.Plan
	}
	if o.RootHash != nil {
		out.RootHash = o.RootHash
		out.Pins = append(slices.Clone(out.Pins), o.RootHash)
		if out.Policy == plan.DefaultPolicy(false) {
			out.Policy = plan.DefaultPolicy(true)
		}
	}
	if o.Policy != nil {
		out.Policy = *o.Policy
	}
	return &out
}

// architecture returns which architecture's partitions to look at: those of this machine, if the image has any or is for
// several, else the one that it is for.
func architecture(t *gpt.Table) (gpt.Arch, error) {
	own, ok := gpt.ArchOf(runtime.GOARCH)
	var found []gpt.Arch
	for _, p := range t.Partitions {
		if _, a, known := gpt.Lookup(p.Type); known && a != gpt.NoArch && !slices.Contains(found, a) {
			found = append(found, a)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case ok:
		return own, nil
	}
	return "", fmt.Errorf("cannot use an image on %s: no partition types are known for it: %w", runtime.GOARCH, errors.ErrUnsupported)
}

// judge asks the questions that stage 1 asks, in its order, and stops where it would.
func (img *Image) judge(o Options) {
	refuse := func(rule resolve.Rule, err error) {
		img.Refusal = &resolve.Refusal{Candidate: img.name, Rule: rule, Err: err}
	}
	_, doc, err := discover.ReadDDI(img.r, img.size, img.Architecture)
	if err != nil {
		refuse(resolve.RuleReadable, err)
	}
	img.facts.Signature = doc
	if o.Signature != nil {
		img.facts.Signature = &signature.Document{RootHash: img.claimedRootHash(o.RootHash), Signature: o.Signature}
	}
	if err == nil {
		img.facts.Authentic, img.Refusal = resolve.Authenticate(img.plan, img.name, img.Architecture, &img.facts)
	}
	if a := img.facts.Authentic; a != nil {
		img.verity.data, img.verity.hash, img.verity.rootHash = a.Data, a.Hash, a.RootHash
	} else if !o.Unverified || !img.claim() {
		return
	}
	img.shown = true
	if err := img.readVerity(); err != nil {
		if img.Refusal == nil {
			rule := resolve.RuleReadable
			var corrupt *verity.CorruptError
			if errors.As(err, &corrupt) {
				rule = resolve.RuleVerity
			}
			refuse(rule, err)
		}
	}
}

// claimedRootHash returns the root hash that a signature from elsewhere goes with: the one that was given, else the image's
// own, else the one that its partition UUIDs make.
func (img *Image) claimedRootHash(given []byte) []byte {
	if given != nil {
		return given
	}
	if d := img.facts.Signature; d != nil {
		return d.RootHash
	}
	data, hash := img.one(gpt.Root), img.one(gpt.RootVerity)
	return slices.Concat(data.UUID[:], hash.UUID[:])
}

// claim fills in what a refused image says of itself, and reports whether it says enough.
func (img *Image) claim() bool {
	v := &img.verity
	v.data, v.hash, v.rootHash = img.one(gpt.Root), img.one(gpt.RootVerity), img.claimedRootHash(nil)
	return v.data.Number != 0 && v.hash.Number != 0
}

// one returns the first partition of a designator, the zero value if there is none.
func (img *Image) one(d gpt.Designator) gpt.Partition {
	if t, ok := gpt.TypeOf(d, img.Architecture); ok {
		if found := img.facts.Table.ByType(t); len(found) > 0 {
			return found[0]
		}
	}
	return gpt.Partition{}
}

func (img *Image) section(p gpt.Partition) *io.SectionReader {
	s := img.facts.Table.SectorSize
	return io.NewSectionReader(img.r, p.Offset(s), p.Size(s))
}

// readVerity reads the superblock, and, every byte checked, what file system lies above it.
func (img *Image) readVerity() error {
	v := &img.verity
	b := make([]byte, verity.SuperblockSize)
	hash := img.section(v.hash)
	if _, err := hash.ReadAt(b, 0); err != nil {
		return fmt.Errorf("cannot read the verity superblock: %w", err)
	}
	sb, err := verity.ParseSuperblock(b)
	if err != nil {
		return err
	}
	if err := sb.Check(img.section(v.data).Size(), hash.Size()); err != nil {
		return err
	}
	v.sb = sb
	r, err := verity.NewReader(img.section(v.data), hash, sb, v.rootHash)
	if err != nil {
		return err
	}
	if v.fs, err = fsprobe.Probe(r, sb.DataSize()); err != nil {
		return fmt.Errorf("cannot recognise the file system of the image: %w", err)
	}
	if img.Refusal == nil {
		img.Refusal = resolve.CheckFileSystem(img.plan, img.name, string(v.fs.Type))
	}
	return nil
}

// Authentic returns why the image is accepted, nil if it is not.
func (img *Image) Authentic() *resolve.Authentic {
	if img.Refusal != nil {
		return nil
	}
	return img.facts.Authentic
}

// Validate reads every block of the image and checks it against the root hash. progress may be nil. A block that is not
// what was signed becomes the image's Refusal and is returned as that.
func (img *Image) Validate(ctx context.Context, progress func(done, total int64)) error {
	if img.Refusal != nil {
		return img.Refusal
	}
	v := &img.verity
	data, hash := readerWith{ctx, img.section(v.data)}, readerWith{ctx, img.section(v.hash)}
	err := verity.Verify(data, hash, v.sb, v.rootHash, progress)
	var corrupt *verity.CorruptError
	if errors.As(err, &corrupt) {
		img.Refusal = &resolve.Refusal{Candidate: img.name, Rule: resolve.RuleVerity, Err: err}
		return img.Refusal
	}
	if err != nil {
		return fmt.Errorf("cannot check %s: %w", img.name, err)
	}
	return nil
}

// DataSize returns how many bytes dm-verity protects; 0 if that is not known.
func (img *Image) DataSize() int64 {
	if img.verity.sb == nil {
		return 0
	}
	return img.verity.sb.DataSize()
}

// Close closes the file. What was mounted stays.
func (img *Image) Close() error {
	if img.file == nil {
		return nil
	}
	return img.file.Close()
}

// readerWith ends a long read with its context.
type readerWith struct {
	ctx context.Context
	r   io.ReaderAt
}

func (r readerWith) ReadAt(b []byte, off int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.ReadAt(b, off)
}

// ParseRootHash reads a root hash as --root-hash= and ddi.roothash= take it: whole, in hexadecimal digits.
func ParseRootHash(text string) ([]byte, error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 32 && len(b) != 48 && len(b) != 64 {
		return nil, fmt.Errorf("cannot use the root hash %q: it takes a whole one, 64, 96 or 128 hexadecimal digits: %w", text, plan.ErrValue)
	}
	return bytes.Clone(b), nil
}
