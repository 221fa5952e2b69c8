// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import "slices"

// Cases returns all cases that a generator makes.
func Cases() []Case {
	return slices.Concat(casesHeader(), casesTable(), casesPartition(), casesSuperblock(), casesTree(), casesLevels(), casesDocument(), casesMessage(), casesKeys(), casesCommandLine(), casesSettings(), casesBeside(),
		casesChain(), casesDirectory(), casesBootSector(), casesDisk(), casesExtensionImage(), casesMatch(), casesContents(), casesInside(), casesNames())
}
