// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// qmp is a connection to QEMU's monitor (QEMU Machine Protocol: lines of JSON both ways, events in between).
type qmp struct {
	conn net.Conn
	dec  *json.Decoder
}

// qmpMessage is anything that QEMU says.
type qmpMessage struct {
	Event  string          `json:"event"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Desc string `json:"desc"`
	} `json:"error"`
}

// connect waits for QEMU to listen, and agrees on the protocol.
func connect(ctx context.Context, path string) (*qmp, error) {
	const retry = 20 * time.Millisecond
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err == nil {
			q := &qmp{conn, json.NewDecoder(conn)}
			if deadline, ok := ctx.Deadline(); ok {
				if err := conn.SetDeadline(deadline); err != nil {
					return nil, fmt.Errorf("cannot talk to QEMU: %w", err)
				}
			}
			_, err := q.command("qmp_capabilities")
			return q, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("cannot talk to QEMU: %w", errors.Join(ctx.Err(), err))
		case <-time.After(retry):
		}
	}
}

// command runs a command without arguments. Events that come before its answer are dropped.
func (q *qmp) command(name string) (json.RawMessage, error) {
	if _, err := fmt.Fprintf(q.conn, "{\"execute\":%q}\n", name); err != nil {
		return nil, fmt.Errorf("cannot tell QEMU %s: %w", name, err)
	}
	for {
		var m qmpMessage
		if err := q.dec.Decode(&m); err != nil {
			return nil, fmt.Errorf("cannot tell QEMU %s: %w", name, err)
		}
		switch {
		case m.Error != nil:
			return nil, fmt.Errorf("cannot tell QEMU %s: %s", name, m.Error.Desc)
		case m.Return != nil:
			return m.Return, nil
		}
	}
}

// wait waits for an event.
func (q *qmp) wait(event string) error {
	for {
		var m qmpMessage
		if err := q.dec.Decode(&m); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return fmt.Errorf("the machine was still running after %s: %w", bootLimit, err)
			}
			return fmt.Errorf("cannot wait for QEMU's %s: %w", event, err)
		}
		if m.Event == event {
			return nil
		}
	}
}

// follow waits until the guest is off, counts what was read from its disks, and lets QEMU go.
func (s *sample) follow(ctx context.Context, path string) error {
	q, err := connect(ctx, path)
	if err != nil {
		return err
	}
	defer q.conn.Close()
	if err := q.wait("SHUTDOWN"); err != nil {
		return err
	}
	answer, err := q.command("query-blockstats")
	if err != nil {
		return err
	}
	var disks []struct {
		Device string `json:"device"`
		Stats  struct {
			Bytes int64 `json:"rd_bytes"`
			Reads int64 `json:"rd_operations"`
		} `json:"stats"`
	}
	if err := json.Unmarshal(answer, &disks); err != nil {
		return fmt.Errorf("cannot read QEMU's block statistics: %w", err)
	}
	for _, d := range disks {
		s.HostBytes += d.Stats.Bytes
		s.HostReads += d.Stats.Reads
	}
	_, err = q.command("quit")
	return err
}
