// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package housetest holds the rules of this repository as tests: who may import whom, what never goes into stage 1, and the
// form of files. It has no code of its own.
//
// A rule that is wrong for a case is changed here, with the reason beside it, and not worked around.
package housetest
