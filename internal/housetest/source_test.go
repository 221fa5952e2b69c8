// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package housetest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const modulePath = "github.com/initddi/initddi"

// root is the module's directory, seen from this package.
const root = "../.."

// file is a Go file of the module.
type file struct {
	Name string // relative to the module
	Text []byte
	Fset *token.FileSet
	AST  *ast.File
}

// pkg is a directory with Go files.
type pkg struct {
	Dir   string
	Files []file // without tests
	Tests []file
}

var load = sync.OnceValues(loadPackages)

// packages returns every package of the module but the programs in testdata.
func packages(t *testing.T) []*pkg {
	t.Helper()
	list, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// skipDir reports whether a directory is not part of the sources: what git keeps, what is built, what others' tools look for.
func skipDir(rel string) bool {
	return rel == "build" || rel != "." && strings.HasPrefix(filepath.Base(rel), ".")
}

func loadPackages() ([]*pkg, error) {
	byDir := map[string]*pkg{}
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
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := parse(name, filepath.ToSlash(rel))
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(rel))
		if isTestProgram(dir + "/") {
			return nil
		}
		p := byDir[dir]
		if p == nil {
			p = &pkg{Dir: dir}
			byDir[dir] = p
		}
		if strings.HasSuffix(name, "_test.go") {
			p.Tests = append(p.Tests, f)
		} else {
			p.Files = append(p.Files, f)
		}
		return nil
	})
	var list []*pkg
	for _, p := range byDir {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *pkg) int { return strings.Compare(a.Dir, b.Dir) })
	return list, err
}

func parse(name, rel string) (file, error) {
	f := file{Name: rel, Fset: token.NewFileSet()}
	var err error
	if f.Text, err = os.ReadFile(name); err != nil {
		return f, err
	}
	f.AST, err = parser.ParseFile(f.Fset, rel, f.Text, parser.ParseComments)
	return f, err
}

// imports returns what the package imports, tests not counted.
func (p *pkg) imports() []string {
	var out []string
	for _, f := range p.Files {
		for _, i := range f.AST.Imports {
			if path, err := strconv.Unquote(i.Path.Value); err == nil && !slices.Contains(out, path) {
				out = append(out, path)
			}
		}
	}
	return out
}

// selectors returns the names that the file uses of an imported package.
func (f file) selectors(pkg string) []string {
	var out []string
	ast.Inspect(f.AST, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := s.X.(*ast.Ident); ok && id.Name == pkg && id.Obj == nil {
				out = append(out, s.Sel.Name)
			}
		}
		return true
	})
	return out
}

// lines returns the number of lines from one position to another.
func (f file) lines(from, to token.Pos) int {
	return f.Fset.Position(to).Line - f.Fset.Position(from).Line + 1
}

// all returns the files with and without tests.
func (p *pkg) all() []file { return slices.Concat(p.Files, p.Tests) }
