// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package initramfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/u-root/mkuimage/cpio"

	"github.com/initddi/initddi/internal/ability"
	"github.com/initddi/initddi/internal/kmodules"
	"github.com/initddi/initddi/internal/signature"
)

// Paths in the archive, relative to its root.
const (
	ModuleTable = "etc/initddi/modules"
	ConfigFile  = "etc/initddi/stage1.conf"
	TrustStore  = "etc/verity.d"
	// CAFile is where programs look for the certificates of those who sign those of https servers, as in Debian.
	CAFile = "etc/ssl/certs/ca-certificates.crt"
	// ImageDir is where stage 1 looks for boot images that came with it.
	ImageDir = "ddi"
	// FirmwareDir is where the kernel looks for what drivers ask for.
	FirmwareDir = "lib/firmware"
)

// Sentinels of Build.
var (
	// ErrOptions says that the options make no archive.
	ErrOptions = errors.New("invalid options")
	// ErrDuplicate says that two inputs want to be the same file.
	ErrDuplicate = errors.New("already in the archive")
	// ErrNoInit says that the archive would have no /init.
	ErrNoInit = errors.New("no /init")
	// ErrNoModule says that the commands would be built outside of a Go module, which names their versions.
	ErrNoModule = errors.New("not in a Go module")
	// ErrNoConfig says that a template file has no configuration of that name.
	ErrNoConfig = errors.New("no such configuration")
)

// Options say what goes into an archive.
type Options struct {
	// Commands come from a template, unless Base is given.
	Template Template
	// Base is the path of an archive (newc cpio, not compressed) that has the commands and /init.
	Base string
	// Modules are the kernel modules. Nil stands for none, not even a table.
	Modules *kmodules.Selection
	// Certificates are the trust store: file names that end in ".crt", without directory, and PEM contents. A template's
	// commands are built with [TagsFor] them.
	Certificates []File
	// Config is the content of stage1.conf. There is none if it is nil.
	Config []byte
	// Files are more files; Name is a path in the archive.
	Files []File
	// Time is the modification time of every file, in seconds since 1970: SOURCE_DATE_EPOCH, or 0.
	Time        int64
	Compression Compression
}

// File is a file to add.
type File struct {
	Name string
	Data []byte
	Mode uint32 // permission bits; 0 stands for 0644
}

// Kind says what a part of an archive is.
type Kind string

// The kinds of parts.
const (
	KindBase     Kind = "base"     // from the template or from Options.Base: busybox, links
	KindModule   Kind = "module"   // kernel modules
	KindTable    Kind = "table"    // the module table
	KindFirmware Kind = "firmware" // what modules ask the kernel for
	KindTrust    Kind = "trust"    // certificates
	KindConfig   Kind = "config"   // stage1.conf
	KindFile     Kind = "file"     // Options.Files
)

// Part is a file of an archive and what it costs. Directories are not listed.
type Part struct {
	Kind Kind
	Name string   // the path
	Size int64    // of its content
	For  []string // of a module: the classes and features that need it; of firmware: the modules that name it
}

// Image is a finished archive.
type Image struct {
	Data     []byte // compressed
	CPIOSize int64  // before compression
	Parts    []Part // in the order of the archive
	// Abilities are what the commands say that it can do.
	Abilities ability.Set
}

// Size returns the sum of the sizes of the parts of a kind.
func (m *Image) Size(kind Kind) int64 {
	var n int64
	for _, p := range m.Parts {
		if p.Kind == kind {
			n += p.Size
		}
	}
	return n
}

// Build builds an archive. progress, if not nil, is called with a line of text for each step that takes time.
//
// The error wraps [ErrOptions], [ErrDuplicate], [ErrNoInit] or [ErrNoConfig] where these are the cause. Building commands
// cannot be interrupted; ctx is looked at between the steps, and ends the compressor.
func Build(ctx context.Context, o Options, progress func(string)) (*Image, error) {
	if progress == nil {
		progress = func(string) {}
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	records, err := o.base(ctx, progress)
	if err != nil {
		return nil, err
	}
	can, err := abilitiesOf(records)
	if err != nil {
		return nil, err
	}
	if records, err = o.takeConfig(records, can); err != nil {
		return nil, err
	}
	b := newBuilder(o.Time)
	for _, r := range records {
		if err := b.addRecord(r, Part{Kind: KindBase}); err != nil {
			return nil, err
		}
	}
	if err := o.add(b); err != nil {
		return nil, err
	}
	if _, ok := b.files["init"]; !ok {
		return nil, fmt.Errorf("cannot build the initramfs: %w: set init in the template, or take an archive that has one", ErrNoInit)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	archive, parts, err := b.write()
	if err != nil {
		return nil, err
	}
	progress(fmt.Sprintf("compressing %d bytes with %s", len(archive), o.Compression))
	data, err := compress(ctx, o.Compression, archive)
	if err != nil {
		return nil, err
	}
	return &Image{Data: data, CPIOSize: int64(len(archive)), Parts: parts, Abilities: can}, nil
}

// check finds what is wrong before anything takes time.
func (o *Options) check() error {
	if (o.Base == "") == (o.Template.File == "") {
		return fmt.Errorf("%w: want a template or a base archive, not both", ErrOptions)
	}
	if o.Time < 0 || o.Time > math.MaxUint32 {
		return fmt.Errorf("%w: time %d does not fit into a cpio archive (0 to %d)", ErrOptions, o.Time, uint32(math.MaxUint32))
	}
	if !o.Compression.valid() {
		return fmt.Errorf("%w: unknown compression %q", ErrOptions, o.Compression)
	}
	for _, c := range o.Certificates {
		if strings.Contains(c.Name, "/") || !strings.HasSuffix(c.Name, ".crt") || c.Name == ".crt" {
			return fmt.Errorf("%w: certificate %q is not a file name that ends in .crt", ErrOptions, c.Name)
		}
	}
	for _, f := range o.Files {
		if !validPath(f.Name) {
			return fmt.Errorf("%w: %q is not a path inside the archive", ErrOptions, f.Name)
		}
		if f.Mode&^0o7777 != 0 {
			return fmt.Errorf("%w: %s has mode %#o, only permission bits are possible", ErrOptions, f.Name, f.Mode)
		}
	}
	return nil
}

// validPath reports whether name is relative, clean and stays inside.
func validPath(name string) bool {
	return name != "" && name != "." && path.Clean(name) == name && !path.IsAbs(name) && name != ".." &&
		!strings.HasPrefix(name, "../") && !strings.Contains(name, "\x00") && name != cpio.Trailer
}

// TagsFor returns the build tags for commands that need to know the keys of a trust store and no others: noecdsa and noed25519, if
// it has certificates and none with such a key. Without certificates, or with one that makes no sense, nothing is left out.
func TagsFor(trust []File) []string {
	ecdsa, ed25519 := false, false
	for _, file := range trust {
		certs, err := signature.ParseCertificatesPEM(file.Data)
		if err != nil {
			return nil
		}
		for _, c := range certs {
			ecdsa = ecdsa || strings.HasPrefix(c.KeyAlgorithm, "ECDSA")
			ed25519 = ed25519 || strings.HasPrefix(c.KeyAlgorithm, "Ed25519")
		}
	}
	if len(trust) == 0 {
		return nil
	}
	var tags []string
	if !ecdsa {
		tags = append(tags, "noecdsa")
	}
	if !ed25519 {
		tags = append(tags, "noed25519")
	}
	return tags
}

// base returns the records that the others are added to.
func (o *Options) base(ctx context.Context, progress func(string)) ([]cpio.Record, error) {
	if o.Base == "" {
		progress(fmt.Sprintf("building %s of %s", o.Template.Config, o.Template.File))
		t := o.Template
		t.Tags = append(slices.Clone(t.Tags), TagsFor(o.Certificates)...)
		return t.build(ctx, progress)
	}
	return o.readBase()
}

// readBase returns the records of the base archive.
func (o *Options) readBase() ([]cpio.Record, error) {
	data, err := os.ReadFile(o.Base)
	if err != nil {
		return nil, fmt.Errorf("cannot read the base archive: %w", err)
	}
	if !bytes.HasPrefix(data, []byte("070701")) {
		return nil, fmt.Errorf("%w: base archive %s is not an uncompressed newc cpio, it begins with %q", ErrOptions, o.Base, data[:min(len(data), 6)])
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(data)))
	if err != nil {
		return nil, fmt.Errorf("cannot read the base archive %s: %w", o.Base, err)
	}
	for _, r := range records {
		// Only one of a file's links has its content, and the numbers that tell which belong together change here.
		if r.Mode&cpio.S_IFMT == cpio.S_IFREG && r.NLink > 1 {
			return nil, fmt.Errorf("%w: %s in base archive %s has hard links", ErrOptions, r.Name, o.Base)
		}
	}
	return records, nil
}

// nodes are the devices without which a program of Go does not begin where the kernel finds no console: the runtime opens /dev/null for what is
// closed of files 0 to 2, and ends the process if it cannot. The kernel's own archive has no /dev/null, and one that has this archive
// in its place (CONFIG_INITRAMFS_SOURCE) has no /dev/console either.
func nodes() []cpio.Record {
	return []cpio.Record{cpio.CharDev("dev/console", 0o600, 5, 1), cpio.CharDev("dev/null", 0o666, 1, 3)}
}

// add adds everything that is not in the base.
func (o *Options) add(b *builder) error {
	for _, r := range nodes() {
		if _, is := b.files[r.Name]; is {
			continue
		}
		if err := b.addRecord(r, Part{Kind: KindBase}); err != nil {
			return err
		}
	}
	if o.Modules != nil {
		for _, f := range o.Modules.Files {
			if err := b.addFile(File{Name: f.Path, Data: f.Data}, Part{Kind: KindModule, For: f.For}); err != nil {
				return err
			}
		}
		for _, f := range o.Modules.Firmware {
			if err := b.addFile(File{Name: f.Path, Data: f.Data}, Part{Kind: KindFirmware, For: f.For}); err != nil {
				return err
			}
		}
		if err := b.addFile(File{Name: ModuleTable, Data: o.Modules.Table.Encode()}, Part{Kind: KindTable}); err != nil {
			return err
		}
	}
	for _, c := range o.Certificates {
		c.Name = path.Join(TrustStore, c.Name)
		if err := b.addFile(c, Part{Kind: KindTrust}); err != nil {
			return err
		}
	}
	if o.Config != nil {
		if err := b.addFile(File{Name: ConfigFile, Data: o.Config}, Part{Kind: KindConfig}); err != nil {
			return err
		}
	}
	for _, f := range o.Files {
		if err := b.addFile(f, Part{Kind: KindFile}); err != nil {
			return err
		}
	}
	return nil
}

// builder gathers the records of an archive.
type builder struct {
	time  uint64
	dirs  map[string]uint64 // path -> mode, 0 if no record said one
	files map[string]entry
}

type entry struct {
	record cpio.Record
	part   Part
}

func newBuilder(time int64) *builder {
	return &builder{time: uint64(time), dirs: make(map[string]uint64), files: make(map[string]entry)}
}

func (b *builder) addFile(f File, part Part) error {
	mode := uint64(f.Mode)
	if mode == 0 {
		mode = 0o644
	}
	return b.addRecord(cpio.StaticRecord(f.Data, cpio.Info{Name: f.Name, Mode: cpio.S_IFREG | mode}), part)
}

// addRecord adds a record and the directories above it. Directories may come twice; their first mode stays.
func (b *builder) addRecord(r cpio.Record, part Part) error {
	r = cpio.MakeReproducible(r) // also makes the name relative
	if r.Name == "." {
		return nil
	}
	if !validPath(r.Name) {
		return fmt.Errorf("%w: %q is not a path inside the archive", ErrOptions, r.Name)
	}
	if _, ok := b.files[r.Name]; ok {
		return fmt.Errorf("cannot add %s: %w", r.Name, ErrDuplicate)
	}
	if r.Mode&cpio.S_IFMT == cpio.S_IFDIR {
		if b.dirs[r.Name] == 0 {
			b.dirs[r.Name] = r.Mode
		}
	} else {
		if _, ok := b.dirs[r.Name]; ok {
			return fmt.Errorf("cannot add %s: %w as a directory", r.Name, ErrDuplicate)
		}
		part.Name, part.Size = r.Name, int64(r.FileSize)
		b.files[r.Name] = entry{r, part}
	}
	for dir := path.Dir(r.Name); dir != "."; dir = path.Dir(dir) {
		if _, ok := b.files[dir]; ok {
			return fmt.Errorf("cannot add %s: %s is %w as a file", r.Name, dir, ErrDuplicate)
		}
		if _, ok := b.dirs[dir]; !ok {
			b.dirs[dir] = 0
		}
	}
	return nil
}

// write returns the archive. The kernel does not make missing directories, so they come before what is in them.
func (b *builder) write() ([]byte, []Part, error) {
	var records []cpio.Record
	for _, name := range sortedKeys(b.dirs) {
		mode := b.dirs[name]
		if mode == 0 {
			mode = 0o755
		}
		records = append(records, cpio.Directory(name, mode))
	}
	var parts []Part
	for _, name := range sortedKeys(b.files) {
		records = append(records, b.files[name].record)
		parts = append(parts, b.files[name].part)
	}
	var out bytes.Buffer
	w := cpio.Newc.Writer(&out)
	for i, r := range records {
		// Numbers of their own: tools take files with the same number for hard links.
		r.Ino, r.NLink, r.MTime = uint64(i+1), 1, b.time
		if r.Mode&cpio.S_IFMT == cpio.S_IFDIR {
			r.NLink = 2
		}
		if err := w.WriteRecord(r); err != nil {
			return nil, nil, fmt.Errorf("cannot write %s to the archive: %w", r.Name, err)
		}
	}
	if err := cpio.WriteTrailer(w); err != nil {
		return nil, nil, fmt.Errorf("cannot finish the archive: %w", err)
	}
	return out.Bytes(), parts, nil
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// detach reads the content of a record into memory, so that the file behind it may go away.
func detach(r cpio.Record) (cpio.Record, []byte, error) {
	if r.ReaderAt == nil {
		return r, nil, nil
	}
	if r.FileSize > math.MaxInt32 {
		return r, nil, fmt.Errorf("cannot add %s: %d bytes", r.Name, r.FileSize)
	}
	data := make([]byte, r.FileSize)
	if _, err := io.ReadFull(io.NewSectionReader(r.ReaderAt, 0, int64(r.FileSize)), data); err != nil {
		return r, nil, fmt.Errorf("cannot read %s: %w", r.Name, err)
	}
	if c, ok := r.ReaderAt.(io.Closer); ok {
		if err := c.Close(); err != nil {
			return r, nil, fmt.Errorf("cannot read %s: %w", r.Name, err)
		}
	}
	r.ReaderAt = bytes.NewReader(data)
	return r, data, nil
}
