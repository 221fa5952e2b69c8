// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package swtpm runs swtpm, an emulated TPM (libtpms), for a virtual machine or for tools on this one.
//
// What the TPM keeps, its NV memory and its persistent keys, lies in a directory and outlives it; PCRs begin with zeros at every
// start.
package swtpm

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/initddi/initddi/internal/program"
)

// startLimit is how long swtpm may take to open its socket.
const startLimit = 30 * time.Second

// maxResponse is the longest response of a TPM, in bytes (TPM_BUFSIZE of Linux).
const maxResponse = 4096

// TPM is a running emulator.
type TPM struct {
	// Socket is where it listens: for QEMU's control channel, or for commands.
	Socket string

	dir    string // holds the socket
	cmd    *exec.Cmd
	stderr bytes.Buffer
	done   chan struct{}
}

// ForMachine starts a TPM 2.0 whose state is in the directory state for a virtual machine, which powers it on.
func ForMachine(ctx context.Context, state string) (*TPM, error) {
	return start(ctx, state, exists, func(socket string) []string { return []string{"--tpm2", "--ctrl", "type=unixio,path=" + socket} })
}

// OldForMachine starts a TPM 1.2 in the same way.
func OldForMachine(ctx context.Context, state string) (*TPM, error) {
	return start(ctx, state, exists, func(socket string) []string { return []string{"--ctrl", "type=unixio,path=" + socket} })
}

// ForTools starts a TPM 2.0, powered on and started up, for tpm2-tools (TCTI "swtpm:path=" and Socket) and for Transmit.
func ForTools(ctx context.Context, state string) (*TPM, error) {
	return start(ctx, state, listens, func(socket string) []string {
		return []string{"--tpm2", "--flags", "not-need-init,startup-clear", "--server", "type=unixio,path=" + socket, "--ctrl", "type=unixio,path=" + socket + ".ctrl"}
	})
}

// exists is enough for a machine, which takes longer to start than swtpm does to listen; who connects to that socket owns the TPM.
func exists(socket string) bool {
	_, err := os.Stat(socket)
	return err == nil
}

// listens connects: a socket is there a moment before it can be connected to.
func listens(socket string) bool {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// start runs swtpm and returns when its socket is ready.
func start(ctx context.Context, state string, ready func(socket string) bool, channel func(socket string) []string) (*TPM, error) {
	path, err := program.Find("swtpm", "swtpm")
	if err != nil {
		return nil, fmt.Errorf("cannot start a TPM: %w", err)
	}
	// The name of a socket has room for 107 bytes, so it does not lie beside the state.
	dir, err := os.MkdirTemp("", "swtpm-")
	if err != nil {
		return nil, fmt.Errorf("cannot start a TPM: %w", err)
	}
	t := &TPM{Socket: filepath.Join(dir, "socket"), dir: dir, done: make(chan struct{})}
	args := append([]string{"socket", "--tpmstate", "dir=" + state}, channel(t.Socket)...)
	t.cmd = exec.CommandContext(ctx, path, args...)
	t.cmd.Stdout, t.cmd.Stderr = &t.stderr, &t.stderr
	if err := t.cmd.Start(); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("cannot start a TPM: %w", err)
	}
	go func() {
		t.cmd.Wait()
		close(t.done)
	}()
	for deadline := time.Now().Add(startLimit); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		select {
		case <-t.done:
			err := fmt.Errorf("cannot start a TPM: swtpm ended at once: %s", bytes.TrimSpace(t.stderr.Bytes()))
			t.Close()
			return nil, err
		default:
		}
		if ready(t.Socket) {
			return t, nil
		}
	}
	t.Close()
	return nil, fmt.Errorf("cannot start a TPM: swtpm serves no socket after %s", startLimit)
}

// Close ends the TPM, as a loss of power would, and waits until it is gone. Closing twice is harmless.
func (t *TPM) Close() error {
	t.cmd.Process.Kill() // fails only if it has ended
	<-t.done
	return os.RemoveAll(t.dir)
}

// Transmit sends a command to a TPM that was started for tools. It connects for each, because swtpm serves one client at a time and
// tools want their turn.
func (t *TPM) Transmit(command []byte) ([]byte, error) {
	c, err := net.Dial("unix", t.Socket)
	if err != nil {
		return nil, fmt.Errorf("cannot use the TPM: %w", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(startLimit)); err != nil {
		return nil, fmt.Errorf("cannot use the TPM: %w", err)
	}
	if _, err := c.Write(command); err != nil {
		return nil, fmt.Errorf("cannot use the TPM: %w", err)
	}
	buf := make([]byte, maxResponse)
	n, err := c.Read(buf)
	if err != nil {
		return nil, fmt.Errorf("cannot use the TPM: %w", err)
	}
	return buf[:n], nil
}

// Tool runs one of tpm2-tools on a TPM that was started for tools, and returns what it writes.
func (t *TPM) Tool(ctx context.Context, name string, args ...string) (string, error) {
	path, err := program.Find(name, "tpm2-tools")
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, path, append([]string{"-T", "swtpm:path=" + t.Socket}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("cannot run %s %q: %w: %s", name, args, err, bytes.TrimSpace(out))
	}
	return string(out), nil
}
