// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package housetest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	maxFileLines     = 500
	maxFunctionLines = 80
)

const header = `// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

`

func TestHeaders(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.all() {
			if !bytes.HasPrefix(f.Text, []byte(header)) {
				t.Errorf("%s does not begin with the licence header and a blank line", f.Name)
			}
		}
	}
}

func TestPackageComments(t *testing.T) {
	for _, p := range packages(t) {
		found := len(p.Files) == 0
		for _, f := range p.Files {
			found = found || f.AST.Doc != nil && len(f.AST.Doc.Text()) > 40
		}
		if !found {
			t.Errorf("%s has no package comment: what it is, what it is not", p.Dir)
		}
	}
}

func TestLengths(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.all() {
			if n := bytes.Count(f.Text, []byte("\n")); n > maxFileLines {
				t.Errorf("%s has %d lines, at most %d: it is about more than one thing", f.Name, n, maxFileLines)
			}
			for _, d := range f.AST.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || fn.Body == nil {
					continue
				}
				if n := f.codeLines(fn); n > maxFunctionLines {
					t.Errorf("%s: %s has %d lines, at most %d", f.Name, fn.Name.Name, n, maxFunctionLines)
				}
			}
		}
	}
}

// codeLines counts a function's lines without those of the composite literals in it: a test's table is data.
func (f file) codeLines(fn *ast.FuncDecl) int {
	n := f.lines(fn.Pos(), fn.End())
	ast.Inspect(fn.Body, func(node ast.Node) bool {
		lit, ok := node.(*ast.CompositeLit)
		if ok {
			n -= f.lines(lit.Pos(), lit.End()) - 1
		}
		return !ok
	})
	return n
}

func TestNoInit(t *testing.T) {
	for _, p := range packages(t) {
		if l, ok := levelOf(p.Dir); ok && l > world {
			continue
		}
		for _, f := range p.Files {
			for _, d := range f.AST.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s has an init function: everything in a busybox pays for it at every start", f.Name)
				}
			}
		}
	}
}

// tables are package variables that are constants which Go cannot write as such: nothing may assign to them.
var tables = map[string]string{
	"internal/apply.handOverDirs":   "array of strings",
	"internal/fsprobe.le":           "a short name of binary.LittleEndian",
	"internal/gpt.types":            "the partition types of every architecture, an array of structs of constants",
	"internal/handoff.carried":      "array of strings",
	"internal/policy.designators":   "array of strings",
	"internal/policy.names":         "array of structs of constants",
	"internal/stage1.stackFeatures": "array of strings",
}

func TestNoState(t *testing.T) {
	used := map[string]bool{}
	for _, p := range packages(t) {
		if l, ok := levelOf(p.Dir); ok && l > world {
			continue
		}
		for _, f := range p.Files {
			for _, d := range f.AST.Decls {
				gen, ok := d.(*ast.GenDecl)
				if !ok || gen.Tok != token.VAR {
					continue
				}
				for _, s := range gen.Specs {
					spec := s.(*ast.ValueSpec)
					for i, name := range spec.Names {
						full := p.Dir + "." + name.Name
						if name.Name == "_" || isSentinel(spec, i) {
							continue
						}
						used[full] = true
						if tables[full] == "" {
							t.Errorf("%s: package variable %s is neither a sentinel error nor in the list of tables (form_test.go)", f.Name, name.Name)
						}
					}
				}
			}
		}
	}
	for name := range tables {
		if !used[name] {
			t.Errorf("the list of tables has %s, which does not exist", name)
		}
	}
}

// isSentinel reports whether a variable is an error made by errors.New or fmt.Errorf and is called like one.
func isSentinel(spec *ast.ValueSpec, i int) bool {
	name := spec.Names[i].Name
	if !strings.HasPrefix(name, "Err") && !strings.HasPrefix(name, "err") || i >= len(spec.Values) {
		return false
	}
	call, ok := spec.Values[i].(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	of, ok := sel.X.(*ast.Ident)
	return ok && (of.Name == "errors" && sel.Sel.Name == "New" || of.Name == "fmt" && sel.Sel.Name == "Errorf")
}

// TestTablesAreNotAssigned looks for assignments to package variables, sentinels included.
func TestTablesAreNotAssigned(t *testing.T) {
	for _, p := range packages(t) {
		if l, ok := levelOf(p.Dir); ok && l > world {
			continue
		}
		vars := map[string]bool{}
		for _, f := range p.Files {
			for _, d := range f.AST.Decls {
				if gen, ok := d.(*ast.GenDecl); ok && gen.Tok == token.VAR {
					for _, s := range gen.Specs {
						for _, name := range s.(*ast.ValueSpec).Names {
							vars[name.Name] = true
						}
					}
				}
			}
		}
		for _, f := range p.Files {
			for _, name := range f.assigned() {
				if vars[name] {
					t.Errorf("%s assigns to the package variable %s", f.Name, name)
				}
			}
		}
	}
}

// assigned returns the names of package level that the file assigns to, also through an index or a field.
func (f file) assigned() []string {
	var out []string
	ast.Inspect(f.AST, func(n ast.Node) bool {
		as, ok := n.(*ast.AssignStmt)
		if !ok || as.Tok == token.DEFINE {
			return true
		}
		for _, e := range as.Lhs {
			for {
				switch x := e.(type) {
				case *ast.IndexExpr:
					e = x.X
					continue
				case *ast.SelectorExpr:
					e = x.X
					continue
				case *ast.Ident:
					// The parser resolves names within a file: a local one is not at package level.
					if x.Obj == nil || x.Obj.Kind == ast.Var && f.AST.Scope.Lookup(x.Name) == x.Obj {
						out = append(out, x.Name)
					}
				}
				break
			}
		}
		return true
	})
	return out
}

// foreign are words that are true on one machine only. They are written in two halves, or this file would be the first to fail.
func foreign() []string {
	return []string{
		"/wo" + "rk/", "/tmp" + "/h/", "shared" + "/facts", "shared" + "/design", "facts/" + "style", "facts/" + "systemd",
		"facts/" + "lab", "facts/" + "peers", "facts/" + "go.md",
	}
}

func TestNoForeignWords(t *testing.T) {
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if d.IsDir() && skipDir(rel) {
			return filepath.SkipDir
		}
		// In a linked worktree .git is a file, which says where the repository is.
		if !d.Type().IsRegular() || rel == ".git" {
			return nil
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, w := range foreign() {
			if i := bytes.Index(b, []byte(w)); i >= 0 {
				t.Errorf("%s line %d has %q, which means nothing elsewhere", rel, 1+bytes.Count(b[:i], []byte("\n")), w)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(fmt.Errorf("cannot read the sources: %w", err))
	}
}
