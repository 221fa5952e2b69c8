// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/initddi/initddi/internal/apply"
	"github.com/initddi/initddi/internal/cmdline"
	"github.com/initddi/initddi/internal/linux/inroot"
	"github.com/initddi/initddi/internal/linux/keyring"
	"github.com/initddi/initddi/internal/resolve"
)

// attachAsking brings dm-verity up over an image, with the kernel's own check of the signature if resolve wants it asked. What
// is wrong is put among the facts.
func (b *boot) attachAsking(src apply.Source, name string, img *resolve.Image) (*apply.Image, error) {
	b.facts.Kernel = kernelFacts(b.world)
	k, a := b.facts.Kernel, img.Authentic
	device := fmt.Sprintf("initddi-%d", b.attached)
	b.attached++
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

// moduleParameters returns what the command line says to a module, as the kernel would take it if the module were built in and
// modprobe where there is one: "MODULE.NAME=VALUE", with '-' and '_' the same in the module's name.
func moduleParameters(params []cmdline.Param, name string) string {
	same := func(s string) string { return strings.ReplaceAll(s, "-", "_") }
	var out []string
	// One device, when somebody wants one. What the command line says comes behind and wins.
	switch name {
	case "nbd":
		// Nobody looks for partitions on what is not verified yet.
		out = append(out, "nbds_max=0 max_part=0")
	case "loop":
		// Not eight, each of which udev would look at in the next init.
		out = append(out, "max_loop=0")
	}
	for _, p := range params {
		mod, key, ok := strings.Cut(p.Key, ".")
		if !ok || key == "" || same(mod) != same(name) {
			continue
		}
		word := key
		if p.HasValue {
			word += "=" + p.Value
			if strings.ContainsAny(p.Value, " \t") {
				word = key + `="` + p.Value + `"`
			}
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

// readParameters reads the command line's parameters; one that cannot be read is reported by the plan.
func readParameters(proc *os.Root) []cmdline.Param {
	b, err := proc.ReadFile("cmdline")
	if err != nil {
		return nil
	}
	params, _, err := cmdline.Parse(string(b))
	if err != nil {
		return nil
	}
	return params
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
