// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package process

import (
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// consolePatience is how long a terminal may take no byte before lines are left out. What the kernel holds for a serial line, 4 KiB, has
// passed at 9600 baud in less.
const consolePatience = 5 * time.Second

// stoppedPatience is the same for one that has taken none for that long.
const stoppedPatience = 10 * time.Millisecond

// Console writes lines to a terminal that may be stopped: by Ctrl-S, or noise on an open serial line that looks like it (IXON is on by
// default), or by the other end's flow control. A write to it would come back when somebody lets it go on, which may be never. This one
// leaves lines out then, and says how many when the terminal goes on.
type Console struct {
	tty      *os.File
	patience time.Duration
	rest     []byte // of a line whose beginning was taken
	lost     int    // lines that were left out since
}

// OpenConsole opens the terminal at path, besides whoever else has it open.
func OpenConsole(path string) (*Console, error) {
	// Opening can wait as well, for a carrier.
	tty, err := os.OpenFile(path, os.O_WRONLY|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open the console: %w", err)
	}
	return &Console{tty: tty, patience: consolePatience}, nil
}

// Write writes one line, or leaves it out. It never fails and comes back within seconds.
func (c *Console) Write(line []byte) (int, error) {
	patience := c.patience
	if c.lost > 0 || len(c.rest) > 0 {
		patience = stoppedPatience
	}
	// A deadline is for terminals; what else may be open here does not make a writer wait.
	_ = c.tty.SetWriteDeadline(time.Now().Add(patience))
	if c.put(nil) && (c.lost == 0 || c.put(fmt.Appendf(nil, "initddi: lines are missing here, %d of them: the terminal was stopped; the kernel's log has them\n", c.lost))) {
		c.lost = 0
		if c.put(line) {
			return len(line), nil
		}
	}
	c.lost++
	return len(line), nil
}

// put writes what is left of an earlier line, and then this one. It reports false if the terminal took nothing of this one.
func (c *Console) put(line []byte) bool {
	if len(c.rest) > 0 {
		n, _ := c.tty.Write(c.rest)
		if c.rest = c.rest[n:]; len(c.rest) > 0 {
			return false
		}
	}
	n, _ := c.tty.Write(line)
	c.rest = slices.Clone(line[n:])
	if n == 0 {
		c.rest = nil
	}
	return n > 0 || len(line) == 0
}
