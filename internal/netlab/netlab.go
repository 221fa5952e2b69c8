// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package netlab makes a network for tests: a network namespace with a switch, real servers on one side of it (dnsmasq, nginx, nbdkit), and
// virtual machines or other namespaces on the other. Nothing leaves it.
//
// As root the namespace is a plain one; for anybody else it is within a user namespace.
package netlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/initddi/initddi/internal/linux/tap"
	"github.com/initddi/initddi/internal/program"
)

// The addresses of the servers, with their networks. They are for documentation (RFC 5737) and local use (RFC 4193) only.
const (
	Address4 = "192.0.2.1"
	Address6 = "fd00:db8::1"
	prefix4  = "/24"
	prefix6  = "/64"
)

// Switch is the device that all cards are connected to. Without a VLAN the servers are at its addresses.
const Switch = "lan0"

// startLimit is how long a server may take to serve.
const startLimit = 30 * time.Second

// holder is the process that the namespace lives by. Who advertises itself as a router has to say that it is one when it is asked for its
// address, or its routes are dropped again; and the router's own address is to be had at once.
const holder = "cd /proc/sys/net/ipv6/conf && echo 1 >all/forwarding && echo 0 >default/accept_dad && echo 0 >all/accept_dad && echo && exec cat"

// Lab is the network. It is made by Open and goes with Close.
type Lab struct {
	// Dir holds what the servers are told and what they say: NAME.log.
	Dir string
	// Device is the servers' network device: the switch, or a VLAN of it.
	Device string

	enter  []string // what is put before a command to run it inside
	holder *exec.Cmd
	pid    int

	mu      sync.Mutex
	closers []func()
	servers map[string]*Server
}

// Open makes a network whose files lie in the directory dir, which must exist. vlan, if not 0, is the VLAN (802.1Q) that the servers are in:
// on the switch their frames have its tag. ctx ends all that runs in it.
func Open(ctx context.Context, dir string, vlan int) (*Lab, error) {
	l := &Lab{Dir: dir, Device: Switch, servers: map[string]*Server{}}
	if err := l.open(ctx, vlan); err != nil {
		l.Close()
		return nil, fmt.Errorf("cannot make a network: %w", err)
	}
	return l, nil
}

func (l *Lab) open(ctx context.Context, vlan int) error {
	unshare, err := program.Find("unshare", "util-linux")
	if err != nil {
		return err
	}
	nsenter, err := program.Find("nsenter", "util-linux")
	if err != nil {
		return err
	}
	flags, into := "-n", []string{"-n"}
	if os.Geteuid() != 0 {
		flags, into = "-Urn", []string{"-U", "--preserve-credentials", "-n"}
	}
	// The namespace lives as long as this process, which ends when its input does: also if nobody is left to close the lab.
	l.holder = exec.CommandContext(ctx, unshare, flags, "sh", "-c", holder)
	out, err := l.holder.StdoutPipe()
	if err != nil {
		return err
	}
	in, err := l.holder.StdinPipe()
	if err != nil {
		return err
	}
	var complaint bytes.Buffer
	l.holder.Stderr = &complaint
	if err := l.holder.Start(); err != nil {
		return err
	}
	l.onClose(func() {
		in.Close()
		l.holder.Wait()
	})
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		return fmt.Errorf("no namespace for it: %s", bytes.TrimSpace(complaint.Bytes()))
	}
	l.pid = l.holder.Process.Pid
	l.enter = append(append([]string{nsenter, "-t", strconv.Itoa(l.pid)}, into...), "--")
	if err := l.IP(ctx, "link set lo up", "link add "+Switch+" type bridge", "link set "+Switch+" up"); err != nil {
		return err
	}
	if vlan != 0 {
		if err := l.accessPort(ctx, vlan); err != nil {
			return err
		}
	}
	// Servers must not wait for the kernel to find out that nobody else has the address.
	return l.IP(ctx, "address add "+Address4+prefix4+" dev "+l.Device, "address add "+Address6+prefix6+" dev "+l.Device+" nodad")
}

// accessPort puts the servers into a VLAN: a port of the switch whose frames lose or get the tag. It is done here and not by the kernel, which
// need not know of VLANs: the one that is tested is another.
func (l *Lab) accessPort(ctx context.Context, vlan int) error {
	trunk, err := tap.Open(l.pid, "trunk0")
	if err != nil {
		return err
	}
	l.onClose(func() { trunk.Close() })
	l.Device = "vlan" + strconv.Itoa(vlan)
	access, err := tap.Open(l.pid, l.Device)
	if err != nil {
		return err
	}
	l.onClose(func() { access.Close() })
	go forward(access, trunk, func(frame []byte) []byte { return addTag(frame, vlan) })
	go forward(trunk, access, func(frame []byte) []byte { return takeTag(frame, vlan) })
	return l.IP(ctx, "link set trunk0 master "+Switch+" up", "link set "+l.Device+" up")
}

// Pid is a process in the network's namespace.
func (l *Lab) Pid() int { return l.pid }

func (l *Lab) onClose(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closers = append(l.closers, do)
}

// Close ends the servers and the network. Closing twice is harmless, and so is closing none.
func (l *Lab) Close() {
	if l == nil {
		return
	}
	for {
		l.mu.Lock()
		n := len(l.closers)
		if n == 0 {
			l.mu.Unlock()
			return
		}
		do := l.closers[n-1]
		l.closers = l.closers[:n-1]
		l.mu.Unlock()
		do()
	}
}

// Command is a command that runs inside. debian is the package that has the program. The error wraps [program.ErrMissing] where it is not
// installed.
func (l *Lab) Command(ctx context.Context, debian, name string, args ...string) (*exec.Cmd, error) {
	path, err := program.Find(name, debian)
	if err != nil {
		return nil, err
	}
	args = append(append(append([]string{}, l.enter[1:]...), path), args...)
	cmd := exec.CommandContext(ctx, l.enter[0], args...)
	cmd.WaitDelay = time.Second
	return cmd, nil
}

// IP runs the command ip inside, once for each line of arguments.
func (l *Lab) IP(ctx context.Context, lines ...string) error {
	for _, line := range lines {
		cmd, err := l.Command(ctx, "iproute2", "ip", strings.Fields(line)...)
		if err != nil {
			return err
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, bytes.TrimSpace(out))
		}
	}
	return nil
}

// Tap makes a device for a virtual machine's network card, and connects it to the switch.
func (l *Lab) Tap(ctx context.Context, name string) error {
	return l.IP(ctx, "tuntap add "+name+" mode tap", "link set "+name+" master "+Switch+" up")
}

// Veth makes a network card name in the namespace of the process pid, connected to the switch; its other end here is called port.
func (l *Lab) Veth(ctx context.Context, port string, pid int, name string) error {
	return l.IP(ctx, fmt.Sprintf("link add %s type veth peer name %s netns %d", port, name, pid), "link set "+port+" master "+Switch+" up")
}

// Wrap writes a program into the lab's directory that runs another inside, and returns its path: for who is told only a program to run.
func (l *Lab) Wrap(name, debian string) (string, error) {
	path, err := program.Find(name, debian)
	if err != nil {
		return "", err
	}
	wrapper := filepath.Join(l.Dir, filepath.Base(name))
	text := "#!/bin/sh\nexec"
	for _, word := range append(append([]string{}, l.enter...), path) {
		text += " '" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return wrapper, os.WriteFile(wrapper, []byte(text+" \"$@\"\n"), 0o755)
}

// Server is a program that serves inside.
type Server struct {
	Log  string // the file with what it wrote
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Start runs a server until the lab is closed, with its output in NAME.log. It returns when ready says so.
func (l *Lab) Start(name string, cmd *exec.Cmd, ready func(log string) bool) (*Server, error) {
	s := &Server{Log: filepath.Join(l.Dir, name+".log"), cmd: cmd, done: make(chan struct{})}
	log, err := os.OpenFile(s.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	go func() {
		s.err = cmd.Wait()
		close(s.done)
	}()
	l.onClose(func() { s.Stop() })
	for deadline := time.Now().Add(startLimit); ; time.Sleep(10 * time.Millisecond) {
		text, _ := os.ReadFile(s.Log)
		select {
		case <-s.done:
			return nil, fmt.Errorf("cannot start %s: it ended at once: %s", name, bytes.TrimSpace(text))
		default:
		}
		if ready(string(text)) {
			l.mu.Lock()
			l.servers[name] = s
			l.mu.Unlock()
			return s, nil
		}
		if time.Now().After(deadline) {
			s.Stop()
			return nil, fmt.Errorf("cannot start %s: it does not serve after %s: %s", name, startLimit, bytes.TrimSpace(text))
		}
	}
}

// Stop ends the server at once and waits until it is gone. Stopping twice is harmless.
func (s *Server) Stop() {
	s.cmd.Process.Kill() // fails only if it has ended
	<-s.done
}

// Logs returns what each server wrote, by name.
func (l *Lab) Logs() (map[string]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]string{}
	var errs []error
	for name, s := range l.servers {
		b, err := os.ReadFile(s.Log)
		out[name] = string(b)
		errs = append(errs, err)
	}
	return out, errors.Join(errs...)
}
