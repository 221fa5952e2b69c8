// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// Monitor is a connection to a running QEMU (QEMU Machine Protocol: lines of JSON both ways, events in between). It is not safe for
// concurrent use.
type Monitor struct {
	conn net.Conn
	dec  *json.Decoder
}

// message is anything that QEMU says.
type message struct {
	Event  string          `json:"event"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Desc string `json:"desc"`
	} `json:"error"`
}

// Connect waits for QEMU to listen at the socket path, which is a [Config]'s Monitor, and agrees on the protocol. The deadline of ctx,
// if it has one, is that of everything that is said over the connection.
func Connect(ctx context.Context, path string) (*Monitor, error) {
	const retry = 20 * time.Millisecond
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err == nil {
			m := &Monitor{conn, json.NewDecoder(conn)}
			if deadline, ok := ctx.Deadline(); ok {
				err = conn.SetDeadline(deadline)
			}
			if err == nil {
				_, err = m.Command("qmp_capabilities", nil)
			}
			if err != nil {
				conn.Close()
				return nil, fmt.Errorf("cannot talk to QEMU: %w", err)
			}
			return m, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("cannot talk to QEMU: %w", errors.Join(ctx.Err(), err))
		case <-time.After(retry):
		}
	}
}

// Command runs a command and returns its answer. Events that come before that are dropped.
func (m *Monitor) Command(name string, arguments map[string]any) (json.RawMessage, error) {
	text, err := json.Marshal(struct {
		Execute   string         `json:"execute"`
		Arguments map[string]any `json:"arguments,omitempty"`
	}{name, arguments})
	if err == nil {
		_, err = m.conn.Write(append(text, '\n'))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot tell QEMU %s: %w", name, err)
	}
	for {
		var answer message
		if err := m.dec.Decode(&answer); err != nil {
			return nil, fmt.Errorf("cannot tell QEMU %s: %w", name, err)
		}
		switch {
		case answer.Error != nil:
			return nil, fmt.Errorf("cannot tell QEMU %s: %s", name, answer.Error.Desc)
		case answer.Return != nil:
			return answer.Return, nil
		}
	}
}

// Wait waits for an event.
func (m *Monitor) Wait(event string) error {
	for {
		var said message
		if err := m.dec.Decode(&said); err != nil {
			return fmt.Errorf("cannot wait for QEMU's %s: %w", event, err)
		}
		if said.Event == event {
			return nil
		}
	}
}

// Close ends the connection; the machine runs on.
func (m *Monitor) Close() error { return m.conn.Close() }
