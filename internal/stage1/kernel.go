// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/initddi/initddi/internal/apply"
	"github.com/initddi/initddi/internal/linux/inroot"
	"github.com/initddi/initddi/internal/linux/keyring"
	"github.com/initddi/initddi/internal/resolve"
)

// attachAsking brings dm-verity up over an image, with the kernel's own check of the signature if resolve wants it asked. What
// is wrong is put among the facts.
func (b *boot) attachAsking(src apply.Source, name string, img *resolve.Image) (*apply.Image, error) {
	b.facts.Kernel = kernelFacts(b.world)
	k, a := b.facts.Kernel, img.Authentic
	device := fmt.Sprintf("initddi-%d", b.world.attached.Add(1)-1)
	ask := resolve.AskKernel(k, a)
	if ask {
		src.Signature = a.Message
	}
	up, err := apply.Attach("/dev", device, b.control, src, a)
	if err == nil {
		if ask {
			b.log.Info("kernel: it knows %s and takes the signature as well", a.Signer.Subject)
		}
		return up, nil
	}
	// A kernel that requires a signature and gets none says the same as one that does not know the signer.
	if ask && errors.Is(err, apply.ErrSignature) || k.RequiresSignatures {
		without, r := resolve.KernelAnswer(k, name, a, answerOf(err), err)
		if r != nil {
			img.Refusal = r
			return nil, r
		}
		if without {
			b.log.Debug("%v: it is used without", err)
			src.Signature = nil
			if up, err = apply.Attach("/dev", device, b.control, src, a); err == nil {
				return up, nil
			}
		}
	}
	img.Err = err
	return nil, err
}

func answerOf(err error) resolve.Answer {
	switch {
	case keyring.Unknown(err):
		return resolve.AnswerUnknown
	case keyring.Rejected(err):
		return resolve.AnswerRejected
	}
	return ""
}

// kernelFacts reads which certificates the kernel knows, and whether it wants every signature. One whose dm-verity has no such
// parameter cannot check any.
func kernelFacts(w *World) resolve.Kernel {
	var k resolve.Kernel
	b, err := w.Sys.ReadFile("module/dm_verity/parameters/require_signatures")
	if err != nil {
		return k
	}
	k.RequiresSignatures = resolve.ParseKernelBool(string(b))
	dir, err := w.Proc.Open(".")
	if err != nil {
		return k
	}
	defer dir.Close()
	if b, err := inroot.ReadFile(dir, "keys", keyring.MaxSize); err == nil {
		k.Certificates = keyring.Certificates(string(b))
	}
	return k
}

// failed notes why an image cannot be used, and returns it: it is refused if a block is not what was signed.
func failed(up *apply.Image, candidate string, img *resolve.Image, err error) string {
	if up.Corrupt() {
		img.Refusal = &resolve.Refusal{Candidate: candidate, Rule: resolve.RuleVerity, Err: err, Found: "a block that is not what was signed", Wanted: "root hash " + hex.EncodeToString(img.Authentic.RootHash)}
	} else {
		img.Err = err
	}
	return err.Error()
}
