// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build !nomerge

package stage1

import (
	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/resolve"
)

// extensions returns what a boot would merge into an image if that is what the extensions are for, which stands in the image and in them.
// Their signatures are judged; what is refused is put among the refusals. Of several versions a boot may take another one than the first.
func (t *Trace) extensions(w *World, m *discover.Machine, p *plan.Plan, f *resolve.Facts, arch gpt.Arch, image *resolve.Action) []resolve.Action {
	var out []resolve.Action
	if !p.Merge {
		return nil
	}
	taken := resolve.NewTaken(f.Images[image.Name()].Authentic, image.Name())
	groups, more := resolve.Extensions(f, image.Candidate())
	for _, group := range groups {
		for _, e := range group {
			a := resolve.Action{Verb: resolve.Merge, Class: e.Class, Extension: e.Name, For: image.Name(), Source: e.Source, Partition: e.Node, Image: e.Path}
			var x *resolve.Image
			r := taken.RefuseName(e)
			if r == nil {
				if x = readImage(w, m, f, arch, &a); x.Err == nil {
					x.Authentic, x.Refusal = resolve.AuthenticateExtension(p, a.Name(), arch, x)
				}
				r = taken.Refuse(nil, e, x)
			}
			if r != nil {
				t.Refused = append(t.Refused, r.Error())
				continue
			}
			taken.Add(e, x)
			a.Reason = x.Authentic.String() + ", if it is for this image"
			out = append(out, a)
			break
		}
	}
	if more > 0 {
		t.Refused = append(t.Refused, resolve.TooManyExtensions(image.Candidate(), more).Error())
	}
	return out
}
