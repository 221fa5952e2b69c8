// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package attack is the set of disks that somebody has tampered with, and what must come of each.
//
// A case is a small named generator that alters exactly one thing of a good signed image or of the disk it lies on, the
// verdict that must follow, and the layer that must give it: a right verdict from the wrong layer is a failure, because then
// something else than what was meant stopped the attack. Every generator runs without a virtual machine, through the code that
// stage 1 boots with ([Desk]), in the tests of this package; the cases that say so are boots when the program "tamper" runs them.
//
//	just tamper --list             what there is
//	just tamper --only GROUP       one group, or one case by its name
//	just tamper --only direct      all that need no virtual machine
//
// To add a case, add an entry to a casesXxx function: a line of what was altered, the function that does it on a [DDI] or a
// [Disk], verdict and layer. What cannot be said without a kernel (identity, corruption after the hand-over, disks that change
// under a running machine) is a boot cell of package vmtest with a layer, in a bootsXxx function.
package attack
