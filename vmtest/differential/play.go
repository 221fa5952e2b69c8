// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ourTool is where sysextmerge is in the system that the tools run in.
const ourTool = "/run/sysextmerge"

// Tools.
const (
	theirs = iota
	ours
)

// limit ends a tool that does not end itself.
const limit = 30 * time.Second

// outcome is what a step led to.
type outcome struct {
	step  string
	state map[string]string // files and mounts
	said  string            // on standard error; it is no part of what is compared
}

// difference is a disagreement.
type difference struct {
	Case   int    `json:"case"`
	Tools  string `json:"tools"` // who did it: "ours", or both in turns
	Step   string `json:"step"`
	What   string `json:"what"` // "exit", "json", "file PATH" or "mount PATH"
	Theirs string `json:"theirs"`
	Ours   string `json:"ours"`
	Reason string `json:"reason,omitempty"` // name of the explanation, empty if there is none

	index  int  // of the outcome
	failed bool // at that outcome or before it both failed
}

// command runs a verb of a tool. What it prints is its standard output.
func (s *stage) command(ctx context.Context, c *testCase, tool int, args ...string) (out, said string, status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	name := "/usr/bin/systemd-" + c.Class
	if tool == ours {
		name = ourTool
		args = append([]string{fmt.Sprintf("--confext=%v", c.Class == "confext")}, args...)
	}
	if c.Root {
		args = append(args, "--root="+fakeRoot)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Path, cmd.Err = name, nil // not looked up here: it is found in the tree
	cmd.Dir = "/"
	cmd.Env = append([]string{"PATH=/usr/bin:/usr/sbin", "LC_ALL=C.UTF-8", "TZ=UTC"}, c.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: s.tree}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		status, err = exit.ExitCode(), nil
	}
	return stdout.String(), stderr.String(), status, err
}

// play plays a case with the tools of its steps, the first of them for those with 0, and returns what each step led to.
func (s *stage) play(ctx context.Context, c *testCase, tools [2]int) (out []outcome, err error) {
	defer func() { err = errors.Join(err, s.clean()) }()
	if err := s.build(c); err != nil {
		return nil, err
	}
	for i, st := range c.Steps {
		switch {
		case st.Make != nil:
			err = s.make(c, st.Make)
		case st.Remove != "":
			err = s.remove(c, st.Remove)
		default:
			var o outcome
			if o, err = s.do(ctx, c, st.Verb, tools[st.Tool]); err == nil {
				o.step = fmt.Sprintf("%d %s", i, st.Verb)
				out = append(out, o)
			}
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

func (s *stage) do(ctx context.Context, c *testCase, verb string, tool int) (outcome, error) {
	args := []string{verb, "--no-pager"}
	switch verb {
	case "list":
		return s.list(ctx, c)
	case "status":
		args = append(args, "--json=short")
	default:
		args = append(args, c.Options...)
	}
	out, said, status, err := s.command(ctx, c, tool, args...)
	if err != nil {
		return outcome{}, fmt.Errorf("cannot run %s: %w: %s", verb, err, said)
	}
	o := outcome{said: said}
	if o.state, err = s.snapshot(); err != nil {
		return o, err
	}
	o.state["exit"] = fmt.Sprint(status)
	if verb != "status" || status != 0 {
		o.state["stdout"] = out
		return o, nil
	}
	if o.state["json"], err = normalStatus(out); err != nil {
		return o, err
	}
	if out, said, status, err = s.command(ctx, c, tool, "status", "--no-pager", "--json=off"); err != nil || status != 0 {
		return o, fmt.Errorf("cannot run status: %w: %d %s", err, status, said)
	}
	o.state["table"] = blanksAtEnd.ReplaceAllString(anyTime.ReplaceAllString(out, "(a time)"), "")
	return o, nil
}

// anyTime matches a time in a table, blanksAtEnd what cannot be seen in one.
var (
	anyTime     = regexp.MustCompile(`[A-Z][a-z]{2} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC`)
	blanksAtEnd = regexp.MustCompile(`(?m) +$`)
)

// normalStatus checks the times of a status, which differ, and leaves them out.
func normalStatus(text string) (string, error) {
	var rows []map[string]any
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		return "", fmt.Errorf("cannot read %q: %w", text, err)
	}
	for _, r := range rows {
		if t, ok := r["since"].(float64); ok && t > 1e15 {
			r["since"] = "a time"
		}
	}
	b, err := json.Marshal(rows)
	return string(b), err
}

// list has both tools list the same tree: there the times have to be the same, too. What the other one said is kept with the state, so
// that comparing two plays compares the tools.
func (s *stage) list(ctx context.Context, c *testCase) (outcome, error) {
	o := outcome{state: map[string]string{}}
	for tool, name := range []string{"theirs", "ours"} {
		for _, mode := range []string{"--json=short", "--json=off"} {
			out, said, status, err := s.command(ctx, c, tool, "list", "--no-pager", mode)
			if err != nil {
				return o, fmt.Errorf("cannot run list: %w: %s", err, said)
			}
			if mode == "--json=short" && out != "" {
				var v any
				if err := json.Unmarshal([]byte(out), &v); err != nil {
					return o, fmt.Errorf("cannot read %q: %w", out, err)
				}
				b, err := json.Marshal(v)
				if err != nil {
					return o, err
				}
				out = string(b)
			}
			o.state[name+" list "+mode] = fmt.Sprintf("%d %s", status, strings.TrimSpace(out))
		}
	}
	return o, nil
}

// compare returns the disagreements of two plays of a case, the first of them with their tool alone.
func compare(c *testCase, tools string, a, b []outcome) []difference {
	var out []difference
	for i := range min(len(a), len(b)) {
		x, y := a[i].state, b[i].state
		add := func(what, theirs, ours string) {
			if theirs != ours {
				out = append(out, difference{Case: c.ID, Tools: tools, Step: a[i].step, What: what, Theirs: theirs, Ours: ours, index: i})
			}
		}
		if strings.HasSuffix(a[i].step, " list") {
			for _, mode := range []string{"--json=short", "--json=off"} {
				add("list "+mode, y["theirs list "+mode], y["ours list "+mode])
			}
			continue
		}
		keys := slices.Sorted(maps.Keys(x))
		for k := range y {
			if _, ok := x[k]; !ok {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		for _, k := range keys {
			add(k, x[k], y[k])
		}
	}
	return out
}
