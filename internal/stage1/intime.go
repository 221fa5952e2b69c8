// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"errors"
	"time"

	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/resolve"
)

// A disk can die after its image was found. Package apply reads the image's first blocks aside, so that another image can have its turn
// then. What the kernel reads for a mount, and what it waits for when it exchanges a table, nobody can call off: the boot ends, as ddi.fail=
// says, and another one must not build on what may still come of it.

// slowDisk is how much longer than ddi.timeout= an action may take that uses a disk. One that appears late may be slow, too, and what is
// read aside gives up before.
const slowDisk = 2 * slowAction

// errAbandoned is for an action that came back too late.
var errAbandoned = errors.New("the boot was given up while this disk did not answer")

// inTime carries out an action with f, and returns a [SilentError] if that uses an image and comes no further for too long. Everything that
// this attempt has belongs to f from then on, and is given up when f returns.
func (b *boot) inTime(a *resolve.Action, f func() error) error {
	if a.Verb != resolve.Attach && a.Verb != resolve.Mount && a.Verb != resolve.Enter {
		return f()
	}
	b.moved = make(chan struct{}, 1)
	done := make(chan error, 1)
	go func() { done <- process.Guarded(f) }()
	limit := max(b.plan.Timeout, b.plan.Timeout+slowDisk) // infinity has nothing above it
	t := time.NewTimer(limit)
	defer t.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-b.moved:
			t.Reset(limit)
		case <-t.C:
			if b.commit() != nil {
				return <-done // too late: it is handing over
			}
			b.abandoned = true
			go func() {
				<-done
				_ = process.Guarded(func() error {
					b.close()
					return nil
				})
			}()
			return &SilentError{Action: a, After: limit}
		}
	}
}

// move says that the action that is being carried out has come further.
func (b *boot) move() {
	select {
	case b.moved <- struct{}{}:
	default:
	}
}

// commit settles how the attempt ends; only who comes first gets no error.
func (b *boot) commit() error {
	if !b.committed.CompareAndSwap(false, true) {
		return errAbandoned
	}
	return nil
}
