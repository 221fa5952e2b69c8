// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"bytes"
	"os"
)

// expedited says whether the kernel ends RCU grace periods at once (kernel/ksysfs.c), as it
// does until it starts init.
const expedited = "kernel/rcu_expedited"

// hurry makes the kernel do so until the returned function is called. Changing dm-verity's table waits for several grace periods of
// many milliseconds each; on a machine that boots there is nobody whom the interrupts could disturb.
func hurry(sys *os.Root) (calm func()) {
	if b, err := sys.ReadFile(expedited); err != nil || string(bytes.TrimSpace(b)) != "0" {
		return func() {}
	}
	set := func(value string) {
		// Where the kernel does not let us, it is only slower.
		if f, err := sys.OpenFile(expedited, os.O_WRONLY, 0); err == nil {
			_, _ = f.WriteString(value)
			f.Close()
		}
	}
	set("1\n")
	return func() { set("0\n") }
}
