// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package alloctest holds parsers of hostile bytes to a bound on memory. It is for tests.
//
// What it counts is all that was allocated, not what was in use at a time: that is never less, and does not depend on when the
// garbage collector ran.
package alloctest

import (
	"runtime/metrics"
	"testing"
)

// Hostile is the most memory in bytes that stage 1 may take for parsing any input.
const Hostile = 64 << 20

// AtMost fails the test if more than limit bytes have been allocated, by all goroutines, between its call and that of the function
// that it returns.
func AtMost(t testing.TB, limit uint64) (check func()) {
	t.Helper()
	before := Allocated()
	return func() {
		t.Helper()
		if used := Allocated() - before; used > limit {
			t.Errorf("%d bytes of memory were allocated, at most %d are allowed", used, limit)
		}
	}
}

// Allocated returns how many bytes this process has ever allocated.
func Allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
