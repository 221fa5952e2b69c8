// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package housetest

import (
	"go/ast"
	"strings"
	"testing"
)

// TestAbilitiesAreAsked: only package ability makes a plan's input, so that no ability is forgotten where another is thought of.
func TestAbilitiesAreAsked(t *testing.T) {
	for _, p := range packages(t) {
		if p.Dir == "internal/ability" || p.Dir == "internal/plan" {
			continue
		}
		for _, f := range p.Files {
			ast.Inspect(f.AST, func(n ast.Node) bool {
				if what := makesInput(n); what != "" {
					t.Errorf("%s: %s: begin with the Input of an ability.Set", f.Fset.Position(n.Pos()), what)
				}
				return true
			})
		}
	}
}

// makesInput says how a node makes an empty plan.Input or decides about an ability of one, if it does.
func makesInput(n ast.Node) string {
	isInput := func(e ast.Expr) bool {
		s, ok := e.(*ast.SelectorExpr)
		if !ok || s.Sel.Name != "Input" {
			return false
		}
		x, ok := s.X.(*ast.Ident)
		return ok && x.Name == "plan"
	}
	switch n := n.(type) {
	case *ast.CompositeLit:
		// An empty one goes with an error.
		if isInput(n.Type) && len(n.Elts) > 0 {
			return "makes a plan.Input"
		}
	case *ast.ValueSpec:
		if isInput(n.Type) && len(n.Values) == 0 {
			return "has an empty plan.Input"
		}
	case *ast.StructType:
		for _, field := range n.Fields.List {
			if isInput(field.Type) {
				return "keeps a plan.Input, which begins empty"
			}
		}
	case *ast.AssignStmt:
		for _, e := range n.Lhs {
			if s, ok := e.(*ast.SelectorExpr); ok && strings.HasPrefix(s.Sel.Name, "Has") && strings.Contains("HasShell HasFetch HasMerge", s.Sel.Name) {
				return "sets " + s.Sel.Name
			}
		}
	}
	return ""
}
