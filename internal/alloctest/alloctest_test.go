// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package alloctest

import (
	"fmt"
	"testing"
)

// recorder is a test that remembers its failures instead of failing.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func TestAtMost(t *testing.T) {
	const limit = 1 << 20
	for _, tt := range []struct {
		size  int
		fails bool
	}{{limit / 2, false}, {2 * limit, true}} {
		r := &recorder{}
		check := AtMost(r, limit)
		kept = make([]byte, tt.size)
		check()
		if (len(r.failures) > 0) != tt.fails {
			t.Errorf("%d bytes of %d: %q", tt.size, limit, r.failures)
		}
	}
}

// kept has the compiler believe that the memory is used.
var kept []byte
