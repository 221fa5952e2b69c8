// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import "slices"

// Matrix is the program that boots these tables.
func Matrix() Program {
	return Program{Name: "matrix", Images: Images(), Stages: Stages(), Volumes: Volumes()}
}

// Cells returns the whole matrix. What takes longest comes first.
func Cells() []Cell {
	return slices.Concat(
		cellsChain(),
		cellsComplex(),
		cellsModules(),
		cellsHost(),
		cellsRefuse(),
		cellsTrust(),
		cellsNBD(),
		cellsAttempts(),
		cellsUpdate(),
		cellsRollback(),
		cellsSettings(),
		cellsLocked(),
		cellsStays(),
		cellsExtensions(),
		cellsShared(),
		cellsTPM(),
		cellsStorage(),
		cellsKernel(),
		cellsSources(),
		cellsNet(),
		cellsHTTP(),
	)
}

// Images returns the images that cells can place.
func Images() []Image {
	return slices.Concat(imagesRollback(), imagesUpdate(), imagesChain(), imagesRefuse(), imagesTrust(), imagesNBD(), imagesTPM(), imagesStorage(), imagesComplex(), imagesModules(), imagesExtensions(), imagesShared(), imagesStays())
}

// Stages returns the stages 1 that cells can boot.
func Stages() []Stage1 {
	return slices.Concat(
		stagesChain(),
		stagesHost(),
		stagesTrust(),
		stagesLocked(),
		stagesExtensions(),
		stagesRollback(),
		stagesTPM(),
		stagesStorage(),
		stagesKernel(),
		stagesSources(),
		stagesNet(),
		stagesHTTP(),
	)
}

// Volumes returns what real roots lie on.
func Volumes() []Volume { return slices.Concat(volumesComplex(), volumesModules()) }
