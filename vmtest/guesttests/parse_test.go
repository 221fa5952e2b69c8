// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	packages := []pkg{{path: "internal/linux/dm"}, {path: "internal/apply"}}
	for _, test := range []struct {
		name, text, want string
	}{
		{"all is well", `== begin internal-linux-dm
=== RUN   TestVMLife
--- PASS: TestVMLife (0.10s)
=== RUN   TestVMErrors
    vm_test.go:7: a word
--- PASS: TestVMErrors (0.10s)
PASS

== end internal-linux-dm ok
== begin internal-apply
=== RUN   TestVMX
    x_test.go:9: needs something: else
--- SKIP: TestVMX (0.00s)
PASS

== end internal-apply ok
== done
`, `PASS internal/linux/dm.TestVMLife
PASS internal/linux/dm.TestVMErrors
SKIP internal/apply.TestVMX: needs something: else
guesttests: 2 passed, 0 failed, 1 skipped
`},
		{"a test fails", `== begin internal-apply
=== RUN   TestVMX
=== RUN   TestVMX/sub
    x_test.go:9: wrong
--- FAIL: TestVMX (0.00s)
    --- FAIL: TestVMX/sub (0.00s)
FAIL

== end internal-apply exit status 1
== done
`, `FAIL internal/apply.TestVMX
         x_test.go:9: wrong
guesttests: 0 passed, 1 failed, 0 skipped
`},
		{"a panic, and the next program", `== begin internal-apply
=== RUN   TestVMX
panic: oh

== end internal-apply exit status 2
== begin internal-linux-dm
--- PASS: TestVMLife (0.10s)

== end internal-linux-dm ok
== done
`, `FAIL internal/apply
     panic: oh
     
     exit status 2
PASS internal/linux/dm.TestVMLife
guesttests: 1 passed, 1 failed, 0 skipped
`},
		{"the machine dies", "== begin internal-apply\r\n=== RUN   TestVMX\r\n", `FAIL machine
     it did not come to its end, and was in internal/apply
guesttests: 0 passed, 1 failed, 0 skipped
`},
		{"the machine does not begin", "", "FAIL machine\n     it did not come to its end, and was in \nguesttests: 0 passed, 1 failed, 0 skipped\n"},
		{"no modules", "== error: cannot load module x\n", "FAIL init\n     == error: cannot load module x\nFAIL machine\n     it did not come to its end, and was in \nguesttests: 0 passed, 2 failed, 0 skipped\n"},
	} {
		var out strings.Builder
		parse(test.text, packages).print(&out, false)
		if out.String() != test.want {
			t.Errorf("%s: got\n%q\nwant\n%q", test.name, out.String(), test.want)
		}
	}
}
