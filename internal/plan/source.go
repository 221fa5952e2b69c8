// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package plan

import "slices"

// FromServer reports whether the images of s are another machine's.
func (s Source) FromServer() bool { return s == SourceHTTP || s == SourceNBD }

// setSources takes ddi.source=. What a source needs has to be there before anything is tried: a fallback that cannot work is worse
// than none.
func (p *Plan) setSources(value string, in Input) error {
	var list []Source
	if err := words(&list, value, SourceESP, SourceInitrd, SourcePmem, SourceHTTP, SourceNBD); err != nil {
		return err
	}
	if !in.HasFetch && slices.ContainsFunc(list, Source.FromServer) {
		return &KeyError{Allowed: "esp, initrd and pmem; ddifetch, which reaches servers, was not built into it", Err: ErrNotHere}
	}
	p.Sources, p.SourcesByDefault = list, false
	return nil
}
