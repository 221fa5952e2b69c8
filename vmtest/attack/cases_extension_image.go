// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"bytes"
	"context"
	"errors"

	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/resolve"
)

// casesExtensionImage are images of extensions, as stage 1 judges them. Partition table, hash tree and signature are read by what
// reads those of boot images, so that all other cases speak of extensions, too: these are about what is decided otherwise for them.
func casesExtensionImage() []Case {
	unsign := func(d *DDI) { d.document("") }
	cases := []Case{
		{Name: "extension-good", Doc: "a signed extension beside which another key is trusted", Trust: []string{good, "next"}, Verdict: Harmless, Layer: Accepted},
		{Name: "extension-unsigned", Doc: "an unsigned extension", DDI: unsign, Verdict: Refused, Layer: Signature, Says: "the image has no signature partition"},
		{Name: "extension-stranger", Doc: "a stranger's extension", DDI: signed("stranger", smime), Verdict: Refused, Layer: Signature, Says: "wanted one of 1 trusted certificates"},
		{Name: "extension-weak", Doc: "an extension signed by a trusted RSA key of 1024 bits", DDI: signed("weak", smime), Trust: []string{good, "weak"}, Verdict: Refused, Layer: Signature, Says: "1024"},
		{Name: "extension-signature-swapped", Doc: "an extension with the signature of another one", DDI: func(d *DDI) {
			other, err := newDDI(d.Others("other"), d.Keys)
			must(err)
			d.sign(other.message())
		}, Verdict: Refused, Layer: Signature, Says: "cannot verify signature"},
		{Name: "extension-document-swapped", Doc: "an extension with signature and root hash of another one", DDI: func(d *DDI) {
			other, err := newDDI(d.Others("other"), d.Keys)
			must(err)
			d.document(other.text())
		}, Verdict: Refused, Layer: RootHash},
		{Name: "extension-denied-key", Doc: "an extension signed by a trusted key that deny-cert lists", Config: []string{"deny-cert={certificate ddi}"}, Verdict: Refused, Layer: Denied},
		{Name: "extension-denied-roothash", Doc: "a signed extension whose root hash is on the list", Config: []string{"deny-roothash={roothash}"}, Verdict: Refused, Layer: Denied},
		{Name: "extension-policy-cmdline", Doc: "an unsigned extension, and a command line that lets everything through", DDI: unsign, Cmdline: "ddi.sysext-policy=*", Verdict: Refused, Layer: Signature},
		{Name: "extension-policy-verity", Doc: "an unsigned extension, and a command line that asks for a hash tree alone, which goes together with nothing that is built in", DDI: unsign, Cmdline: "ddi.sysext-policy=root=verity", Verdict: Refused, Layer: CommandLine},
		{Name: "extension-policy-none", Doc: "a signed extension, and a command line that wants none", Cmdline: "ddi.sysext-policy=root=absent:usr=absent", Verdict: Refused, Layer: Policy},
		{Name: "extension-policy-built-in", Doc: "an unsigned extension, and a policy built into stage 1 that takes it: an extension is always signed", DDI: unsign, Config: []string{"sysext-policy=root=verity+unprotected+signed+absent:usr=verity+unprotected+signed+absent"}, Verdict: Refused, Layer: Signature, Says: "an extension is always signed"},
		{Name: "extension-policy-half", Doc: "an unsigned extension, and a stage 1 that takes a hash tree without saying that nobody needs to vouch for it", DDI: unsign, Config: []string{"sysext-policy=root=verity+signed+absent:usr=verity+signed+absent"}, Verdict: Refused, Layer: Signature},
		{Name: "extension-pinned", Doc: "an unsigned extension whose root hash is built into stage 1, as that of a boot image", DDI: unsign, Config: []string{"pin={roothash}"}, Verdict: Refused, Layer: Signature},
		{Name: "extension-file-system", Doc: "a signed extension of a file system that the policy does not name", Config: []string{"sysext-policy=root=signed+squashfs+absent:usr=signed+squashfs+absent"}, Verdict: Refused, Layer: Policy},
		{Name: "extension-altered", Doc: "a flipped bit in a file of an extension", DDI: func(d *DDI) { d.flip(d.payload(PayloadMiddle)) }, Verdict: Contained, Layer: Late},
		{Name: "extension-altered-superblock", Doc: "a flipped bit in the superblock of an extension's file system", DDI: func(d *DDI) { d.flip(d.Data.Offset + 1024 + 20) }, Verdict: Refused, Layer: Verity},
		{Name: "extension-altered-tree", Doc: "a flipped bit in the top of an extension's hash tree", DDI: func(d *DDI) { d.flip(d.treeRoot()) }, Verdict: Refused, Layer: Verity},
	}
	for i := range cases {
		cases[i].Group, cases[i].Image = "extension-image", true
	}
	return cases
}

// judgeExtension judges the image on a disk as that of an extension.
func (k *Desk) judgeExtension(c *Case, disk []byte) (Finding, error) {
	p, err := k.plan(c)
	if err != nil && CommandLine.refuses(err.Error()) {
		return Finding{Refused, CommandLine, err.Error()}, nil
	}
	if err != nil {
		return Finding{}, err
	}
	v, err := newDisk(disk)
	if err != nil {
		return Finding{}, err
	}
	b := v.image()
	facts := &resolve.Image{}
	if facts.Table, facts.Signature, err = discover.ReadDDI(bytes.NewReader(b), int64(len(b)), arch); err != nil {
		return Finding{}, err
	}
	if _, r := resolve.AuthenticateExtension(p, "tool.sysext.raw", arch, facts); r != nil {
		return refusal([]resolve.Refusal{*r}), nil
	}
	img, err := ddi.Read(bytes.NewReader(b), int64(len(b)), "tool.sysext.raw", ddi.Options{Plan: p, Policy: &p.SysextPolicy})
	if err != nil {
		return Finding{}, err
	}
	if img.Refusal == nil {
		err = img.Validate(context.Background(), nil)
	}
	var corrupt *resolve.Refusal
	switch {
	case errors.As(err, &corrupt):
		return Finding{Contained, Late, corrupt.Error()}, nil
	case err != nil:
		return Finding{}, err
	case img.Refusal != nil:
		return refusal([]resolve.Refusal{*img.Refusal}), nil
	}
	return Finding{Harmless, Accepted, "it may be used as " + img.Authentic().Use.String()}, nil
}
