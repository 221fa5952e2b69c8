// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"bytes"
	"encoding/hex"
	"strings"
)

// beside are the files beside an image, by the end of their names. They are as hostile as the image.
type beside map[string][]byte

// Ends of their names.
const (
	rootHashFile  = ".roothash"
	signatureFile = ".roothash.p7s"
	treeFile      = ".verity"
)

// goodBeside returns what would lie beside an image whose signature is not in it.
func goodBeside(v *Disk) (*DDI, beside) {
	d, err := newDDI(v.image(), v.keys)
	must(err)
	d.Others = v.others
	return d, beside{signatureFile: d.message()}
}

// write puts the files on the disk.
func (b beside) write(v *Disk) {
	for _, end := range []string{rootHashFile, signatureFile, treeFile} {
		if data, ok := b[end]; ok {
			v.write("loader/ddi", "os"+end, data)
		}
	}
}

// detached takes the signature out of the image and puts it beside, altered.
func detached(alter func(d *DDI, b beside)) func(*Disk) {
	return func(v *Disk) {
		d, b := goodBeside(v)
		d.document("")
		alter(d, b)
		v.setImage(d.B)
		b.write(v)
	}
}

// naked takes everything out of the image but its file system and puts it beside, altered.
func naked(alter func(d *DDI, b beside)) func(*Disk) {
	return func(v *Disk) {
		d, b := goodBeside(v)
		b[rootHashFile] = []byte(hex.EncodeToString(d.RootHash))
		b[treeFile] = bytes.Clone(d.part(d.Hash))
		d.B = bytes.Clone(d.part(d.Data))
		d.Hash, d.Sig, d.Data.Offset = Range{}, Range{}, 0
		alter(d, b)
		v.setImage(d.B)
		b.write(v)
	}
}

// messageOf returns a message about the image's root hash by the key called name.
func messageOf(d *DDI, name string) []byte {
	m, err := d.Keys.Sign(name, []byte(hex.EncodeToString(d.RootHash)), smime)
	must(err)
	return m
}

// casesBeside alter the files beside an image.
func casesBeside() []Case {
	same := func(*DDI, beside) {}
	flipIn := func(end string, at int) func(*DDI, beside) {
		return func(_ *DDI, b beside) {
			if at < 0 {
				at += len(b[end])
			}
			b[end][at] ^= 1
		}
	}
	put := func(end, text string) func(*DDI, beside) {
		return func(_ *DDI, b beside) { b[end] = []byte(text) }
	}
	cases := []Case{
		{Name: "beside-signature", Doc: "the good signature beside the image instead of in it", Volume: detached(same), Verdict: Harmless, Layer: Accepted},
		{Name: "beside-stranger", Doc: "a stranger's signature beside an unsigned image", Volume: detached(func(d *DDI, b beside) { b[signatureFile] = messageOf(d, "stranger") }), Verdict: Refused, Layer: Signature, Says: "wanted one of 1 trusted certificates", Boot: true},
		{Name: "beside-other", Doc: "the signature of another image beside an unsigned one", Volume: detached(func(d *DDI, b beside) {
			other, err := newDDI(d.Others("other"), d.Keys)
			must(err)
			b[signatureFile] = other.message()
		}), Verdict: Refused, Layer: Signature, Says: "cannot verify signature"},
		{Name: "beside-other-whole", Doc: "root hash and signature of another image beside an unsigned one", Volume: detached(func(d *DDI, b beside) {
			other, err := newDDI(d.Others("other"), d.Keys)
			must(err)
			b[signatureFile], b[rootHashFile] = other.message(), []byte(hex.EncodeToString(other.RootHash))
		}), Verdict: Refused, Layer: RootHash, Boot: true},
		{Name: "beside-altered", Doc: "the last byte of the signature beside the image", Volume: detached(flipIn(signatureFile, -1)), Verdict: Refused, Layer: Signature},
		{Name: "beside-empty", Doc: "an empty signature beside the image", Volume: detached(func(_ *DDI, b beside) { b[signatureFile] = []byte{0} }), Verdict: Refused, Layer: Signature},
		{Name: "beside-large", Doc: "a signature of 100 KiB beside the image", Volume: detached(put(signatureFile, strings.Repeat("x", 100<<10))), Verdict: Refused, Layer: Beside, Boot: true},
		{Name: "beside-good-own-bad", Doc: "a good signature beside an image whose own is a stranger's: its own goes first", Volume: func(v *Disk) {
			d, b := goodBeside(v)
			d.sign(messageOf(d, "stranger"))
			v.setImage(d.B)
			b.write(v)
		}, Verdict: Refused, Layer: Signature, Boot: true},
		{Name: "beside-bad-own-good", Doc: "a stranger's signature beside a signed image: its own goes first", Volume: func(v *Disk) {
			d, b := goodBeside(v)
			b[signatureFile] = messageOf(d, "stranger")
			b.write(v)
		}, Verdict: Harmless, Layer: Unread},
		{Name: "beside-tree", Doc: "a hash tree beside an image that has partitions", Volume: detached(func(d *DDI, b beside) { b[treeFile] = bytes.Clone(d.part(d.Hash)) }), Verdict: Refused, Layer: Beside, Says: "hash tree beside an image that has partitions"},

		{Name: "naked-good", Doc: "a bare file system, with hash tree, root hash and signature beside it", Volume: naked(same), Verdict: Harmless, Layer: Accepted},
		{Name: "naked-stranger", Doc: "a bare file system, signed by a stranger", Volume: naked(func(d *DDI, b beside) { b[signatureFile] = messageOf(d, "stranger") }), Verdict: Refused, Layer: Signature},
		{Name: "naked-unsigned", Doc: "a bare file system without a signature", Volume: naked(func(_ *DDI, b beside) { delete(b, signatureFile) }), Verdict: Refused, Layer: Signature},
		{Name: "naked-roothash", Doc: "a digit of the root hash beside a bare file system", Volume: naked(flipIn(rootHashFile, 9)), Verdict: Refused, Layer: Signature, Says: "cannot verify signature"},
		{Name: "naked-roothash-half", Doc: "half a root hash beside a bare file system", Volume: naked(func(_ *DDI, b beside) { b[rootHashFile] = b[rootHashFile][:32] }), Verdict: Refused, Layer: Beside},
		{Name: "naked-roothash-rubbish", Doc: "a root hash that is none beside a bare file system", Volume: naked(put(rootHashFile, "not a root hash")), Verdict: Refused, Layer: Beside},
		{Name: "naked-no-roothash", Doc: "no root hash beside a bare file system", Volume: naked(func(_ *DDI, b beside) { delete(b, rootHashFile) }), Verdict: Refused, Layer: RootHash, Says: "no file that says the root hash"},
		{Name: "naked-no-tree", Doc: "no hash tree beside a bare file system", Volume: naked(func(_ *DDI, b beside) { delete(b, treeFile) }), Verdict: Refused, Layer: Table, Says: "no GUID partition table"},
		{Name: "naked-tree-cut", Doc: "half of the hash tree beside a bare file system", Volume: naked(func(_ *DDI, b beside) { b[treeFile] = b[treeFile][:2*block] }), Verdict: Refused, Layer: Superblock, Says: "partition too small"},
		{Name: "naked-tree-root", Doc: "a bit of the top of the hash tree beside a bare file system", Volume: naked(flipIn(treeFile, block)), Verdict: Refused, Layer: Verity},
		{Name: "naked-superblock", Doc: "the magic of the hash tree's superblock beside a bare file system", Volume: naked(flipIn(treeFile, 0)), Verdict: Refused, Layer: Superblock, Says: "no dm-verity superblock"},
		{Name: "naked-first", Doc: "a bit of a bare file system's superblock", Volume: naked(func(d *DDI, _ beside) { d.flip(1024 + 20) }), Verdict: Refused, Layer: Verity, Boot: true},
		{Name: "naked-late", Doc: "a bit of the payload in a bare file system", Volume: naked(func(d *DDI, _ beside) { d.flip(d.payload(PayloadMiddle)) }), Verdict: Contained, Layer: Late},
		{Name: "naked-is-other", Doc: "another image's file system with this one's files beside it", Volume: naked(func(d *DDI, _ beside) {
			other, err := newDDI(d.Others("other"), d.Keys)
			must(err)
			d.B = bytes.Clone(other.part(other.Data))
		}), Verdict: Refused, Layer: Verity},
	}
	for i := range cases {
		cases[i].Group = "beside"
	}
	return cases
}
