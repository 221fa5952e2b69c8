// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Command hello is the init of the machine that boot_test.go boots: it says so, and switches the machine off.
package main

import (
	"fmt"
	"syscall"
)

func main() {
	fmt.Println("HELLO from init")
	fmt.Println(syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF))
}
