// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package image builds DDIs: a tree becomes a GPT image of a file system, its dm-verity hash tree and a signature.
//
// The layout is what systemd-repart makes for a root file system with Verity= and a signature: three partitions, data, hash and
// signature, of the Discoverable Partitions Specification's types, with UUIDs out of the root hash. An unsigned image has no
// signature partition, since tools refuse an empty one, but the room for it, where [Join] adds it. Every byte follows from the
// input: same tree, same options, same key, same image, whether it is signed at once or later.
package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/program"
	"github.com/initddi/initddi/internal/signature"
	"github.com/initddi/initddi/internal/verity"
)

// Errors of this package.
var (
	// ErrUnsupported says that an option has a value nothing can be done with.
	ErrUnsupported = errors.New("not supported")
	// ErrOwners says that the files of an archive cannot be given the owners that the archive has for them.
	ErrOwners = errors.New("only root can give files to other users")
	// ErrInside says that the image would lie in the tree that it is made of.
	ErrInside = errors.New("the image would become a part of itself")
	// ErrReadOnly says that a file is there whose mode forbids everybody to write it, as that of a running image does.
	ErrReadOnly = errors.New("it is read-only, as the image of a running system is")
)

// align is where partitions start: a whole number of any sector size and of the flash blocks that matter.
const align = 1 << 20

// Options say how the image is made. The zero value of a field is its default.
type Options struct {
	Source     string // a directory or a tar archive of the tree
	Output     string
	FileSystem string   // erofs (default), squashfs, ext4
	Arch       gpt.Arch // the architecture of the partition types
	Usr        bool     // make an image of the tree's /usr alone
	// Bare leaves the partition table out: Output is the file system alone, and hash tree, root hash and signature go into files
	// beside it, which are called as systemd-dissect looks for them.
	Bare       bool
	SectorSize int64 // of the partition table: 512 (default) or 4096
	// DataBlockSize is what dm-verity hashes at once: 512, 1024, 2048 or 4096 (default) bytes.
	DataBlockSize uint32
	Compress      string // mkfs.erofs -z argument; default lz4hc
	Time          int64  // seconds since 1970 of every file and of the file system
	// Signer makes the DER PKCS#7 signature over the root hash; nil makes an image whose signature can be joined later.
	Signer Signer
	// Certificate is the signer's, DER; its fingerprint goes into the signature partition.
	Certificate []byte
	// Progress is told what is being done; done and total are bytes, total 0 where it is not known.
	Progress func(what string, done, total int64)
}

// Signer signs the content (the root hash in hexadecimal) and returns a detached PKCS#7 message in DER.
type Signer func(ctx context.Context, content []byte) ([]byte, error)

// Result describes the image.
type Result struct {
	RootHash string `json:"roothash"`
	Size     int64  `json:"size"`
	Data     int64  `json:"data_size"`
	Hash     int64  `json:"hash_size"`
	Signed   bool   `json:"signed"`
	// Warnings are sentences about what may not be as it was meant.
	Warnings []string `json:"warnings,omitempty"`
}

// Build makes the image. The output appears under its name only when it is complete. Errors wrap [ErrUnsupported] for an option,
// [ErrOwners] for an archive that needs root, [ErrInside] and [ErrReadOnly] for the output's place, or are those of the tools.
func Build(ctx context.Context, o Options) (*Result, error) {
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	warnings, err := check(o)
	if err != nil {
		return nil, err
	}
	if o.FileSystem == "" {
		o.FileSystem = "erofs"
	}
	if o.SectorSize == 0 {
		o.SectorSize = 512
	}
	if o.DataBlockSize == 0 {
		o.DataBlockSize = 4096
	}
	tmp, err := os.MkdirTemp(filepath.Dir(o.Output), ".ddi-")
	if err != nil {
		return nil, fmt.Errorf("cannot build %s: %w", o.Output, err)
	}
	defer os.RemoveAll(tmp)
	tree, err := unpack(ctx, o, tmp)
	if err != nil {
		return nil, err
	}
	if o.Usr {
		tree = filepath.Join(tree, "usr")
	}
	data := filepath.Join(tmp, "data")
	if err := makeFileSystem(ctx, o, tree, data); err != nil {
		return nil, err
	}
	if o.Bare {
		res, err := buildBare(ctx, o, data, tmp)
		if err == nil {
			res.Warnings = warnings
		}
		return res, err
	}
	part := filepath.Join(tmp, "image")
	res, err := assemble(ctx, o, data, part)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(part, o.Output); err != nil {
		return nil, fmt.Errorf("cannot build %s: %w", o.Output, err)
	}
	res.Warnings = warnings
	return res, nil
}

// unpack returns the directory of the tree, unpacking an archive into tmp first.
func unpack(ctx context.Context, o Options, tmp string) (string, error) {
	info, err := os.Stat(o.Source)
	if err != nil {
		return "", fmt.Errorf("cannot read the tree: %w", err)
	}
	if info.IsDir() {
		return o.Source, nil
	}
	o.Progress("unpacking "+o.Source, 0, 0)
	dir := filepath.Join(tmp, "tree")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("cannot unpack %s: %w", o.Source, err)
	}
	return dir, tool(ctx, "tar", "tar", "-x", "-p", "--same-owner", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--exclude=./dev/*", "-C", dir, "-f", o.Source)
}

// makeFileSystem makes a reproducible read-only file system of the tree.
func makeFileSystem(ctx context.Context, o Options, tree, out string) error {
	o.Progress("making "+o.FileSystem, 0, 0)
	// A UUID has to be given, or the tools take a random one; nothing ever looks it up.
	uuid := derivedUUID("file-system", []byte(filepath.Base(o.Output)))
	stamp := strconv.FormatInt(o.Time, 10)
	var err error
	switch o.FileSystem {
	case "erofs":
		compress := o.Compress
		if compress == "" {
			compress = "lz4hc"
		}
		args := []string{"mkfs.erofs", "--quiet", "-T" + stamp, "-U" + uuid.String()}
		if compress != "none" {
			args = append(args, "-z"+compress)
		}
		err = tool(ctx, "erofs-utils", append(args, out, tree)...)
	case "squashfs":
		err = tool(ctx, "squashfs-tools", "mksquashfs", tree, out, "-quiet", "-no-progress", "-noappend", "-comp", "zstd", "-all-time", stamp, "-mkfs-time", stamp)
	case "ext4":
		err = makeExt4(ctx, tree, out, uuid, o.Time)
	default:
		err = fmt.Errorf("cannot make file system %q: only erofs, squashfs and ext4: %w", o.FileSystem, ErrUnsupported)
	}
	if err != nil {
		return err
	}
	return pad(out, 4096)
}

// assemble puts file system, hash tree and signature into one GPT image.
func assemble(ctx context.Context, o Options, data, out string) (*Result, error) {
	in, err := os.Open(data)
	if err != nil {
		return nil, fmt.Errorf("cannot build %s: %w", o.Output, err)
	}
	defer in.Close()
	sb, size, err := superblock(o, in)
	if err != nil {
		return nil, err
	}
	l := newLayout(o.SectorSize)
	dataAt := l.add(size)
	hashAt := l.add(sb.HashTreeSize())
	f, err := os.Create(out)
	if err != nil {
		return nil, fmt.Errorf("cannot build %s: %w", o.Output, err)
	}
	defer f.Close()
	o.Progress("hashing", 0, size)
	rootHash, err := verity.Build(in, io.NewOffsetWriter(f, hashAt), sb, func(done, total int64) { o.Progress("hashing", done, total) })
	if err != nil {
		return nil, err
	}
	doc, err := document(ctx, o, rootHash)
	if err != nil {
		return nil, err
	}
	sigAt := l.add(signatureRoom)
	if len(doc) > signatureRoom {
		return nil, fmt.Errorf("cannot sign %s: the signature takes %d bytes, its partition has %d: %w", o.Output, len(doc), signatureRoom, ErrUnsupported)
	}
	table, err := l.table(o, rootHash, doc != nil)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(l.size()); err != nil {
		return nil, fmt.Errorf("cannot build %s: %w", o.Output, err)
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("cannot build %s: %w", o.Output, err)
	}
	if _, err := io.Copy(io.NewOffsetWriter(f, dataAt), in); err != nil {
		return nil, fmt.Errorf("cannot build %s: %w", o.Output, err)
	}
	if _, err := f.WriteAt(doc, sigAt); err != nil {
		return nil, fmt.Errorf("cannot build %s: %w", o.Output, err)
	}
	if err := gpt.Write(f, l.size(), table); err != nil {
		return nil, err
	}
	return &Result{
		RootHash: hex.EncodeToString(rootHash), Size: l.size(), Data: size, Hash: sb.HashTreeSize(), Signed: o.Signer != nil,
	}, f.Close()
}

// superblock describes the hash tree of a file system, whose size it returns. Salt and UUID follow from the content.
func superblock(o Options, in *os.File) (*verity.Superblock, int64, error) {
	info, err := in.Stat()
	if err != nil {
		return nil, 0, fmt.Errorf("cannot build %s: %w", o.Output, err)
	}
	sum, err := digest(in)
	if err != nil {
		return nil, 0, err
	}
	return &verity.Superblock{
		UUID: derivedUUID("verity", sum), HashType: 1, Algorithm: "sha256",
		DataBlockSize: o.DataBlockSize, HashBlockSize: 4096, DataBlocks: uint64(info.Size()) / uint64(o.DataBlockSize),
		Salt: derived("salt", sum),
	}, info.Size(), nil
}

// signatureRoom is the size of the signature partition, as systemd-repart makes it. An unsigned image has as much room behind
// its last partition.
const signatureRoom = 16 << 10

// document returns the content of the signature partition, nil for an unsigned image.
func document(ctx context.Context, o Options, rootHash []byte) ([]byte, error) {
	if o.Signer == nil {
		return nil, nil
	}
	sig, err := o.Signer(ctx, signature.Content(rootHash))
	if err != nil {
		return nil, err
	}
	d := signature.Document{RootHash: rootHash, Signature: sig}
	if o.Certificate != nil {
		fp := sha256.Sum256(o.Certificate)
		d.CertificateFingerprint = fp[:]
	}
	return d.Encode()
}

// layout places partitions one behind the other.
type layout struct {
	sector int64
	next   int64
	ranges [][2]int64
}

func newLayout(sector int64) *layout { return &layout{sector: sector, next: align} }

func (l *layout) add(size int64) int64 {
	at := l.next
	size = (size + 4095) &^ 4095
	l.ranges = append(l.ranges, [2]int64{at, size})
	l.next = (at + size + align - 1) / align * align
	return at
}

// size is the image's: room for the backup table behind the last partition.
func (l *layout) size() int64 { return l.next + align }

// kinds are what the image's three partitions are.
func (o Options) kinds() [3]gpt.Designator {
	if o.Usr {
		return [...]gpt.Designator{gpt.Usr, gpt.UsrVerity, gpt.UsrVeritySig}
	}
	return [...]gpt.Designator{gpt.Root, gpt.RootVerity, gpt.RootVeritySig}
}

// table describes the first two partitions, or with the signature's all three.
func (l *layout) table(o Options, rootHash []byte, signed bool) (*gpt.Table, error) {
	dataUUID, hashUUID, err := gpt.RootHashUUIDs(rootHash)
	if err != nil {
		return nil, err
	}
	t := &gpt.Table{SectorSize: o.SectorSize, DiskUUID: derivedUUID("disk", rootHash)}
	for i, p := range []struct {
		d    gpt.Designator
		uuid guid.GUID
	}{{o.kinds()[0], dataUUID}, {o.kinds()[1], hashUUID}, {o.kinds()[2], signatureUUID(rootHash)}} {
		typ, ok := gpt.TypeOf(p.d, o.Arch)
		if !ok {
			return nil, fmt.Errorf("cannot build for architecture %q: %w", o.Arch, ErrUnsupported)
		}
		if i == 2 && !signed {
			continue
		}
		t.Partitions = append(t.Partitions, partition(i+1, typ, p.uuid, p.d, l.ranges[i][0], l.ranges[i][1], l.sector))
	}
	return t, nil
}

// partition describes a partition of size bytes at an offset.
func partition(number int, typ, uuid guid.GUID, d gpt.Designator, offset, size, sector int64) gpt.Partition {
	return gpt.Partition{
		Number: number, Type: typ, UUID: uuid, Name: string(d), Attributes: gpt.AttrReadOnly,
		FirstLBA: uint64(offset / sector), LastLBA: uint64((offset+size)/sector) - 1,
	}
}

func signatureUUID(rootHash []byte) guid.GUID { return derivedUUID("signature", rootHash) }

// derived makes 32 bytes that follow from the input, where others would take random ones.
func derived(purpose string, input []byte) []byte {
	h := sha256.New()
	h.Write([]byte("initddi " + purpose + "\x00"))
	h.Write(input)
	return h.Sum(nil)
}

// derivedUUID makes a version 8 UUID (RFC 9562, section 5.8) that follows from the input.
func derivedUUID(purpose string, input []byte) guid.GUID {
	g := guid.GUID(derived(purpose, input)[:16])
	g[6] = g[6]&0x0f | 0x80
	g[8] = g[8]&0x3f | 0x80
	return g
}

func digest(r io.ReadSeeker) ([]byte, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return nil, fmt.Errorf("cannot read the file system: %w", err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("cannot read the file system: %w", err)
	}
	return h.Sum(nil), nil
}

// pad makes a file's size a multiple of n.
func pad(name string, n int64) error {
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("cannot pad the file system: %w", err)
	}
	if err := os.Truncate(name, (info.Size()+n-1)/n*n); err != nil {
		return fmt.Errorf("cannot pad the file system: %w", err)
	}
	return nil
}

// tool runs a program out of the named Debian package.
func tool(ctx context.Context, pkg string, args ...string) error {
	return runTool(pkg, exec.CommandContext(ctx, args[0], args[1:]...))
}

// runTool runs a program.
func runTool(pkg string, cmd *exec.Cmd) error {
	var err error
	if cmd.Path, err = program.Find(cmd.Args[0], pkg); err != nil {
		return err
	}
	cmd.Err = nil
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot run %s: %s: %w", strings.Join(cmd.Args, " "), strings.TrimSpace(string(out)), err)
	}
	return nil
}
