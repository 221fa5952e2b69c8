// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"errors"
	"fmt"

	"github.com/initddi/initddi/internal/fat"
	"github.com/initddi/initddi/internal/resolve"
)

// ErrPieces says that the images that wait for their turn are in too many pieces to be remembered.
var ErrPieces = errors.New("too many pieces")

// boundExtents gives up an image that was just read if all of them together have more extents than one file may have. A signed image that
// did not come up before is kept until the others were tried, and so are the extensions of an image; any number of files can hold the same signature.
func boundExtents(images map[string]*resolve.Image, img *resolve.Image) {
	n := 0
	for _, other := range images {
		n += len(other.Extents)
		for _, x := range other.Extensions {
			n += len(x.Extents)
		}
	}
	if n > fat.MaxExtents && img.Err == nil {
		img.Err = fmt.Errorf("cannot use the image beside those that wait for their turn: they have %d pieces, at most %d are kept: %w", n, fat.MaxExtents, ErrPieces)
	}
}
