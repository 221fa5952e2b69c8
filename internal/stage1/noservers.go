// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build noservers

package stage1

import (
	"errors"

	"github.com/initddi/initddi/internal/apply"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/resolve"
)

// hasServers says whether this program can get images from servers. This one cannot: its plan refuses such sources.
const hasServers = false

type servers struct{}

func (b *boot) listServer(*resolve.Action) string { return "" }

func (b *boot) readServed(*resolve.Action) *resolve.Image {
	return &resolve.Image{Err: errors.ErrUnsupported}
}

func (b *boot) served(_ *resolve.Action, src apply.Source) (apply.Source, error) {
	return src, errors.ErrUnsupported
}

func (b *boot) fillServed(*report.Chosen, *resolve.Action) {}

func (b *boot) goWithImage(*resolve.Action) {}

func (s *servers) giveUp(string) error { return nil }

func (s *servers) close() error { return nil }
