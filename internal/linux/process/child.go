// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package process

import (
	"errors"
	"fmt"
	"os"
)

// Child is a program that was started and has not been waited for.
type Child struct{ p *os.Process }

// Start starts a program with nothing but the files given, as its descriptors from 0 on: nil is one that is not open. argv[0] is its path. It
// works in the root directory.
func Start(argv, env []string, files []*os.File) (*Child, error) {
	// Package os/exec would look for programs, and copy between files with goroutines of its own.
	p, err := os.StartProcess(argv[0], argv, &os.ProcAttr{Dir: "/", Env: env, Files: files})
	if err != nil {
		return nil, fmt.Errorf("cannot run %s: %w", argv[0], err)
	}
	return &Child{p}, nil
}

// Kill ends the program at once. One that has ended already is no error.
func (c *Child) Kill() error {
	if err := c.p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("cannot end process %d: %w", c.p.Pid, err)
	}
	return nil
}

// Wait waits for the program's end. The error says how it ended, unless that was with status 0.
func (c *Child) Wait() error {
	s, err := c.p.Wait()
	if err != nil {
		return fmt.Errorf("cannot wait for process %d: %w", c.p.Pid, err)
	}
	if !s.Success() {
		return errors.New(s.String())
	}
	return nil
}
