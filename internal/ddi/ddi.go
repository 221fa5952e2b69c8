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
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/dmtable"
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
	// Plain lets an image without a hash tree be used where the policy allows that, see [resolve.Unprotected]. No stage 1 sets it.
	Plain bool
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
	tree   *os.File // the hash tree beside an image without a partition table, else nil
	name   string
	size   int64
	plan   *plan.Plan
	named  bool // the root hash that is wanted is the caller's, and no pin of stage 1
	facts  resolve.Image
	verity verityFacts
	shown  bool // what the image says of itself may be shown
}

// verityFacts is what lies below the signature. It is filled for an accepted image, or where unverified facts were asked for.
type verityFacts struct {
	data, hash dmtable.Region
	partition  int // number of the data's, 0 without a partition table
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
	img := &Image{r: f, file: f, name: filepath.Base(f.Name()), size: size}
	var beside discover.Sidecars
	if info.Mode().IsRegular() {
		beside = besideFile(filepath.Dir(f.Name()))
	}
	if err := img.read(o, beside); err != nil {
		if img.tree != nil {
			img.tree.Close()
		}
		return nil, err
	}
	return img, nil
}

// Read judges the image of size bytes in r, wherever that is. It cannot be mounted, only looked at and validated. name is
// for people. The error is about reading; what is wrong with an image that has a partition table is in the Image. It wraps
// [ErrNotDDI] where there is none.
func Read(r io.ReaderAt, size int64, name string, o Options) (*Image, error) {
	img := &Image{r: r, name: name, size: size}
	return img, img.read(o, nil)
}

// read reads what says what the image is, and judges it. beside may be nil.
func (img *Image) read(o Options, beside discover.Sidecars) error {
	var err error
	if img.facts.Table, err = gpt.Read(img.r, img.size, 0); err != nil && !img.isBare(err, beside) && !(o.Plain && img.isFileSystem(err, beside)) {
		return fmt.Errorf("cannot read the partition table of %s: %w: %w", img.name, ErrNotDDI, err)
	}
	img.facts.Extents = extent.List{{Length: img.size + img.facts.Beside.Tree}}
	if img.Architecture, err = architecture(img.facts.Table); err != nil {
		return err
	}
	img.plan = o.narrowed()
	img.named = o.RootHash != nil && (o.Plan == nil || !slices.ContainsFunc(o.Plan.Pins, func(pin []byte) bool { return bytes.Equal(pin, o.RootHash) }))
	img.judge(o, beside)
	return nil
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
	if t == nil && ok {
		return own, nil
	}
	var found []gpt.Arch
	for _, p := range partitions(t) {
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
func (img *Image) judge(o Options, beside discover.Sidecars) {
	refuse := func(rule resolve.Rule, err error) {
		img.Refusal = &resolve.Refusal{Candidate: img.name, Rule: rule, Err: err}
	}
	err := img.readSignature(beside)
	if err != nil {
		refuse(resolve.RuleReadable, err)
	}
	if o.Signature != nil {
		img.facts.Signature = &signature.Document{RootHash: img.claimedRootHash(o.RootHash), Signature: o.Signature}
	}
	switch {
	case err != nil:
	case o.Plain && resolve.IsPlain(img.Architecture, &img.facts):
		img.facts.Authentic, img.Refusal = resolve.Unprotected(img.plan, img.name, img.Architecture, &img.facts)
	default:
		img.facts.Authentic, img.Refusal = resolve.Authenticate(img.plan, img.name, img.Architecture, &img.facts)
	}
	if a := img.facts.Authentic; a != nil {
		img.verity.data, img.verity.hash, img.verity.partition, img.verity.rootHash = a.Data, a.Hash, a.DataPartition, a.RootHash
	} else if !o.Unverified || !img.claim() {
		return
	}
	img.shown = true
	readTree := img.readVerity
	if a := img.facts.Authentic; a != nil && a.Plain() {
		readTree = img.readPlain
	}
	if err := readTree(); err != nil {
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

// readSignature reads the image's own signature, or what lies beside it.
func (img *Image) readSignature(beside discover.Sidecars) error {
	if img.facts.Table == nil {
		return nil
	}
	var err error
	if _, img.facts.Signature, err = discover.ReadDDI(img.r, img.size, img.Architecture); err != nil || img.facts.Signature != nil || beside == nil {
		return err
	}
	if img.facts.Beside, err = discover.ReadBeside(beside, img.name); err == nil {
		_, err = discover.Complete(img.facts.Table, nil, img.facts.Beside)
	}
	return err
}

// claimedRootHash returns the root hash that a signature from elsewhere goes with: the one that was given, else the image's
// own, else the one that its partition UUIDs make.
func (img *Image) claimedRootHash(given []byte) []byte {
	switch {
	case given != nil:
		return given
	case img.facts.Signature != nil:
		return img.facts.Signature.RootHash
	case img.facts.Beside.RootHash != nil:
		return img.facts.Beside.RootHash
	}
	d, hash := img.fileSystem()
	data, tree := img.one(d), img.one(hash)
	return slices.Concat(data.UUID[:], tree.UUID[:])
}

// fileSystem returns what the image's file system is, going by which partitions there are, and what its hash tree is.
func (img *Image) fileSystem() (d, hash gpt.Designator) {
	if img.facts.Beside.Designator == gpt.Usr || img.one(gpt.Root).Number == 0 && img.one(gpt.Usr).Number != 0 {
		return gpt.Usr, gpt.UsrVerity
	}
	return gpt.Root, gpt.RootVerity
}

// claim fills in what a refused image says of itself, and reports whether it says enough.
func (img *Image) claim() bool {
	v := &img.verity
	v.rootHash = img.claimedRootHash(nil)
	t := img.facts.Table
	if t == nil {
		v.data, v.hash = dmtable.Region{Length: img.size}, dmtable.Region{Offset: img.size, Length: img.facts.Beside.Tree}
		return len(v.rootHash) >= 32
	}
	d, hash := img.fileSystem()
	data, tree := img.one(d), img.one(hash)
	v.partition = data.Number
	if data.Number == 0 || tree.Number == 0 {
		return false
	}
	v.data = dmtable.Region{Offset: data.Offset(t.SectorSize), Length: data.Size(t.SectorSize)}
	v.hash = dmtable.Region{Offset: tree.Offset(t.SectorSize), Length: tree.Size(t.SectorSize)}
	return true
}

// one returns the first partition of a designator, the zero value if there is none.
func (img *Image) one(d gpt.Designator) gpt.Partition {
	if t, ok := gpt.TypeOf(d, img.Architecture); ok && img.facts.Table != nil {
		if found := img.facts.Table.ByType(t); len(found) > 0 {
			return found[0]
		}
	}
	return gpt.Partition{}
}

func (img *Image) section(r dmtable.Region) *io.SectionReader {
	return io.NewSectionReader(img.r, r.Offset, r.Length)
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
		img.Refusal = resolve.CheckFileSystem(img.plan, img.name, img.facts.Authentic.Designator, string(v.fs.Type))
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
	if v.sb == nil {
		return fmt.Errorf("cannot check %s: it has no hash tree: %w", img.name, errors.ErrUnsupported)
	}
	data, hash := WithContext(ctx, img.section(v.data)), WithContext(ctx, img.section(v.hash))
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
	var errs []error
	for _, f := range []*os.File{img.file, img.tree} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// WithContext returns r, reading from which ends with ctx: for what takes long and knows of no context.
func WithContext(ctx context.Context, r io.ReaderAt) io.ReaderAt { return readerWith{ctx, r} }

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
