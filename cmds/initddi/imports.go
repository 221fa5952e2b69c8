// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// imports says which packages import which.
type imports map[string][]string

// importGraph asks the go command what the commands are made of.
func importGraph(ctx context.Context, commands, tags []string) (imports, error) {
	args := append([]string{"list", "-deps", "-json=ImportPath,Imports", "-tags=" + strings.Join(tags, ",")}, commands...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot list the packages of the commands: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	g := imports{}
	d := json.NewDecoder(bytes.NewReader(out))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return g, nil
		} else if err != nil {
			return nil, fmt.Errorf("cannot list the packages of the commands: %w", err)
		}
		g[p.ImportPath] = p.Imports
	}
}

// reach returns everything that a package is made of, itself included.
func (g imports) reach(pkg string) map[string]bool {
	seen := map[string]bool{}
	todo := []string{pkg}
	for len(todo) > 0 {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !seen[p] {
			seen[p] = true
			todo = append(todo, g[p]...)
		}
	}
	return seen
}

// own returns, for each command, the size of the packages that it alone imports.
func (g imports) own(commands []string, packages []namedSize) map[string]int64 {
	users := map[string][]string{}
	for _, c := range commands {
		for p := range g.reach(c) {
			users[p] = append(users[p], c)
		}
	}
	out := map[string]int64{}
	for _, p := range packages {
		if u := users[p.Name]; len(u) == 1 {
			out[u[0]] += p.Size
		}
	}
	return out
}
