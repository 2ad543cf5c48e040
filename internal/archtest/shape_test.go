package archtest

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// How large things may grow.
const (
	maxFileLines        = 500
	maxFunctionLines    = 60
	maxInterfaceMethods = 5
	maxParameters       = 6
)

func TestPackageDocs(t *testing.T) {
	docs := make(map[string]int)
	commands := make(map[string]bool)
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		docs[f.dir()] += 0
		if f.ast.Doc != nil {
			docs[f.dir()]++
		}
		commands[f.dir()] = f.ast.Name.Name == "main"
		if f.ast.Doc != nil && !commands[f.dir()] && !strings.HasPrefix(f.ast.Doc.Text(), "Package "+f.ast.Name.Name+" ") {
			t.Errorf("%s: the package doc does not begin with %q", f.path, "Package "+f.ast.Name.Name)
		}
	}
	for dir, n := range docs {
		if n != 1 {
			t.Errorf("%s has %d package docs, want 1", dir, n)
		}
	}
}

func TestSizes(t *testing.T) {
	for _, f := range sources(t) {
		if strings.HasSuffix(f.path, ".gen.go") {
			continue // nobody reads it
		}
		if n := f.lines(f.ast); n > maxFileLines {
			t.Errorf("%s has %d lines, more than %d", f.path, n, maxFileLines)
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if lines := f.lines(n); lines > maxFunctionLines && !f.test {
					t.Errorf("%s: %s has %d lines, more than %d", f.path, n.Name.Name, lines, maxFunctionLines)
				}
				if p := n.Type.Params.NumFields(); p > maxParameters && !f.test {
					t.Errorf("%s: %s has %d parameters, more than %d: use a Config", f.path, n.Name.Name, p, maxParameters)
				}
			case *ast.InterfaceType:
				if m := n.Methods.NumFields(); m > maxInterfaceMethods {
					t.Errorf("%s: an interface of %d methods, more than %d", f.path, m, maxInterfaceMethods)
				}
			}
			return true
		})
	}
}

func TestNames(t *testing.T) {
	for _, f := range sources(t) {
		for _, decl := range f.ast.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.TYPE {
				continue
			}
			for _, spec := range gen.Specs {
				typ, ok := spec.(*ast.TypeSpec)
				if !ok {
					t.Fatalf("%s: a type declaration without a type", f.path)
				}
				name := typ.Name.Name
				for _, bad := range []string{"Impl", "Manager", "Util", "Helper"} {
					if strings.Contains(name, bad) {
						t.Errorf("%s: %s: say what it is instead of %s", f.path, name, bad)
					}
				}
			}
		}
	}
}

// TestNothingLeftOpen keeps notes to self and skipped tests out.
func TestNothingLeftOpen(t *testing.T) {
	for _, f := range sources(t) {
		if f.dir() == "internal/archtest" {
			continue
		}
		text, err := os.ReadFile(filepath.Join("..", "..", f.path))
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"TODO", "FIXME", "XXX", "HACK", "t.Skip", "not implemented"} {
			if strings.Contains(string(text), word) {
				t.Errorf("%s contains %q", f.path, word)
			}
		}
	}
}

// calls lists the package functions that a file refers to, as package.Function.
func calls(f file) []string {
	var out []string
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if pkg, ok := sel.X.(*ast.Ident); ok {
				out = append(out, pkg.Name+"."+sel.Sel.Name)
			}
		}
		return true
	})
	return out
}
