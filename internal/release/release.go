// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package release knows which initddi this is.
package release

// Version is the release, as CHANGELOG.md has it.
const Version = "0.1.0-dev"
