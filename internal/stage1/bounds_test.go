// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"errors"
	"testing"

	"github.com/initddi/initddi/internal/extent"
	"github.com/initddi/initddi/internal/fat"
	"github.com/initddi/initddi/internal/resolve"
)

func TestBoundExtents(t *testing.T) {
	half := func() *resolve.Image { return &resolve.Image{Extents: make(extent.List, fat.MaxExtents/2)} }
	images := map[string]*resolve.Image{"a": half(), "b": half()}
	boundExtents(images, images["b"])
	if err := images["b"].Err; err != nil {
		t.Errorf("as many as are allowed: %v", err)
	}
	images["c"] = &resolve.Image{Extents: extent.List{{Length: 1}}}
	boundExtents(images, images["c"])
	if !errors.Is(images["c"].Err, ErrPieces) || images["a"].Err != nil {
		t.Errorf("one more: %v", images["c"].Err)
	}
	// Extensions of an image count with it.
	images["c"].Forget()
	images["b"].Forget()
	images["b"].Extensions = map[string]*resolve.Image{"x": half(), "y": {Extents: extent.List{{Length: 1}}}}
	boundExtents(images, images["b"].Extensions["y"])
	if err := images["b"].Extensions["y"].Err; !errors.Is(err, ErrPieces) {
		t.Errorf("an extension more: %v", err)
	}
	images["b"].Extensions = nil
	// What was refused is forgotten, and makes room.
	images["a"].Forget()
	images["c"].Forget()
	images["d"] = half()
	boundExtents(images, images["d"])
	if err := images["d"].Err; err != nil {
		t.Errorf("after one was refused: %v", err)
	}
}
