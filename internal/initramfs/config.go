// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package initramfs

import (
	"fmt"
	"io"

	"github.com/u-root/mkuimage/cpio"

	"github.com/initddi/initddi/internal/ability"
	"github.com/initddi/initddi/internal/plan"
)

// takeConfig takes the template's stage1.conf, if it has one, out of its records and puts it in front of what Config says. Together
// they must be what a stage 1 that can do these things understands: a key that stands in both is a mistake, unless it is a list.
func (o *Options) takeConfig(records []cpio.Record, can ability.Set) ([]cpio.Record, error) {
	var out []cpio.Record
	for _, r := range records {
		if cpio.MakeReproducible(r).Name != ConfigFile {
			out = append(out, r)
			continue
		}
		text, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
		if err != nil {
			return nil, fmt.Errorf("cannot read %s of the template: %w", ConfigFile, err)
		}
		if n := len(text); n > 0 && text[n-1] != '\n' {
			text = append(text, '\n')
		}
		o.Config = append(text, o.Config...)
		in := can.Input()
		in.Config = o.Config
		if _, err := plan.New(in); err != nil {
			return nil, fmt.Errorf("cannot use %s of the template with the settings given: %w", ConfigFile, err)
		}
	}
	return out, nil
}
