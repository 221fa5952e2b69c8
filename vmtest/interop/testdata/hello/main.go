// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Hello is the program in the image of a portable service and container: it says where it runs, and stays there if it is told to.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		fmt.Println("hello:", err)
		os.Exit(1)
	}
	extra, err := os.ReadFile("/usr/share/extra")
	if err != nil {
		extra = []byte("none")
	}
	filler, err := os.ReadFile("/usr/lib/filler")
	fmt.Printf("hello from %s, extension %s, read %d bytes: %v\n", strings.Join(strings.Fields(string(release)), " "), strings.TrimSpace(string(extra)), len(filler), err)
	if len(os.Args) > 1 && os.Args[1] == "--stay" {
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		<-c
	}
}
