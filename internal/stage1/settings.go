// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"fmt"
	"time"

	"github.com/initddi/initddi/internal/measure"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/resolve"
)

// readSettings reads initddi.conf and goes on with what it says, if it is accepted; if not, it changes nothing.
func (b *boot) readSettings(part *resolve.Partition, file string, end func(string) time.Duration) error {
	s := b.machine.ReadSettings(*part, file)
	b.facts.Settings = s
	b.report.Settings = &report.Settings{Path: s.Path}
	next, refusal := resolve.AcceptSettings(b.plan, part.Node, s)
	if refusal != nil {
		b.report.Settings.Refusal = refusal.Error()
		b.log.Err("%v: it changes nothing", refusal)
		end(refusal.Error())
		return nil
	}
	if err := b.measureSettings(s); err != nil {
		return err
	}
	b.report.Settings.Accepted = true
	who := "unsigned"
	if s.Signer != nil {
		who = "signed by " + s.Signer.Subject
		b.report.Settings.Signer = s.Signer.Subject
	}
	for _, w := range next.Warnings[len(b.plan.Warnings):] {
		b.log.Warn("%s", w)
	}
	b.plan = next
	b.report.Warnings = next.Warnings
	b.log.Level = consoleLevel(next.Log)
	text := fmt.Sprintf("%s: %d bytes, %s", file, len(s.Text), who)
	b.done(string(resolve.ReadSettings), end(text), "%s", text)
	return nil
}

// measureSettings measures a file that is accepted, before anything of it counts.
func (b *boot) measureSettings(s *resolve.Settings) error {
	var signer *[32]byte
	if s.Signer != nil {
		fp := s.Signer.Fingerprint()
		signer = &fp
	}
	return b.measure(measure.Config(s.Path, s.Text, signer))
}
