// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package mount

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// InNamespace calls f on a thread with a mount namespace of its own, a copy of the caller's in which nothing that is mounted or
// unmounted shows outside. The namespace ends with f; mounts that are held by a descriptor outlive it. Goroutines that f starts are
// not in it. Paths that begin with /proc/self say what they say outside.
func InNamespace(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if unix.Gettid() != unix.Getpid() {
			done <- enter(f)
			return
		}
		// The main thread does not end, and what /proc/self says is its. While it is held here the next one gets another.
		inner := make(chan error, 1)
		go func() {
			runtime.LockOSThread()
			inner <- enter(f)
		}()
		done <- <-inner
		runtime.UnlockOSThread()
	}()
	return <-done
}

func enter(f func() error) error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("cannot make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot make the mounts of a new namespace private (the root directory has to be a mount point): %w", err)
	}
	return f()
}
