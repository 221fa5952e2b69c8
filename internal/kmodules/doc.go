// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package kmodules picks the kernel modules that go into a stage 1: from the module tree of a kernel, classes of storage
// and a few features make a [Selection], which is the files, uncompressed, and the [modtable.Table] that says when to
// load them. It runs on the machine that builds stage 1 and loads nothing.
//
// # Where the facts come from
//
// What a module needs, and which devices it drives, is written in the module itself: the ".modinfo" section has its
// dependencies (computed by modpost when the kernel was built), softdeps and aliases. This package reads those of the few
// modules it takes. So it needs no modules.dep, modules.alias or modules.softdep, which depmod makes from the same
// sections when a kernel is installed, and which a package that was only unpacked does not have; Debian's have only
// modules.builtin, modules.builtin.modinfo and modules.order. Where there is a modules.dep it is honoured: depmod's
// configuration may prefer another file of the same name (updates/, DKMS), and it knows dependencies of modules that were
// built outside the kernel's tree and do not declare them.
//
// The formats are those of kmod (modules.dep(5), modules.builtin) and of the kernel's include/linux/module.h
// (MODULE_INFO).
package kmodules
