// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package interop holds what initddi makes against the tools that others wrote, and what those make against initddi.
//
// It has tests only. They run systemd's image tools (version 252 of Debian 12 from the machine itself, version 257 of Debian 13
// from a tree that make-trixie makes), cryptsetup's, the file systems' and Secure Boot's own checkers, and the builders of
// u-root. A test whose tool is missing is skipped with the name of its Debian package. Tests that start virtual machines or
// build busyboxes take minutes and run only when asked: "./just interop" and "./just test-build" do, by INITDDI_SLOW=1. With
// INITDDI_REQUIRE=all nothing is skipped: what is missing is a failure.
package interop
