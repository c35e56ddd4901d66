package house

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

const (
	// maxLines is how many lines a file may have.
	maxLines = 400
	// maxFiles is how many files may have methods of one type.
	maxFiles = 2
)

// spreadTypes are the types that may have methods in more files.
func spreadTypes() []string {
	return []string{
		"repository.Store", // one file for each aggregate
	}
}

// pkg is what the files of a directory say.
type pkg struct {
	documented bool
	program    bool                           // it has files that are no tests
	methods    map[string]map[string]struct{} // files by the types whose methods they have
}

// Check returns what breaks a rule below root, sorted. Generated files are left
// out, and so are directories that the go command does not look into. The
// methods of a type in tests may be anywhere.
func Check(root fs.FS) ([]string, error) {
	packages := make(map[string]*pkg)
	var found []string
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && skipped(entry.Name()) && name != ".":
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return fmt.Errorf("read a source: %w", err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("parse a source: %w", err)
		}
		if n := bytes.Count(text, []byte("\n")); n > maxLines && !ast.IsGenerated(file) {
			found = append(found, fmt.Sprintf("%s: %d lines, at most %d", name, n, maxLines))
		}
		p := packages[path.Dir(name)]
		if p == nil {
			p = &pkg{methods: make(map[string]map[string]struct{})}
			packages[path.Dir(name)] = p
		}
		p.add(name, file)
		return nil
	})
	for dir, p := range packages {
		found = append(found, p.check(dir)...)
	}
	slices.Sort(found)
	return found, err
}

// skipped reports whether the go command leaves out a directory of this name.
func skipped(dir string) bool {
	return strings.HasPrefix(dir, ".") || strings.HasPrefix(dir, "_") || dir == "testdata" || dir == "node_modules"
}

// add notes what a file says.
func (p *pkg) add(name string, file *ast.File) {
	if strings.HasSuffix(name, "_test.go") {
		return
	}
	p.program = true
	p.documented = p.documented || file.Doc.Text() != ""
	for _, d := range file.Decls {
		method, ok := d.(*ast.FuncDecl)
		if !ok || method.Recv == nil {
			continue
		}
		receiver := typeName(method.Recv.List[0].Type)
		if p.methods[receiver] == nil {
			p.methods[receiver] = make(map[string]struct{})
		}
		p.methods[receiver][path.Base(name)] = struct{}{}
	}
}

// typeName returns the name of a receiver's type, without its parameters.
func typeName(receiver ast.Expr) string {
	switch x := receiver.(type) {
	case *ast.StarExpr:
		return typeName(x.X)
	case *ast.IndexExpr:
		return typeName(x.X)
	case *ast.IndexListExpr:
		return typeName(x.X)
	case *ast.Ident:
		return x.Name
	}
	return ""
}

// check returns what breaks a rule in the package of a directory.
func (p *pkg) check(dir string) (found []string) {
	if !p.program {
		return nil
	}
	if !p.documented {
		found = append(found, dir+": no comment says what this package is for")
	}
	if dir == "tests/apptest" {
		return found // all test code, although its files do not end with _test.go
	}
	for name, files := range p.methods {
		if len(files) <= maxFiles || slices.Contains(spreadTypes(), path.Base(dir)+"."+name) {
			continue
		}
		var names []string
		for file := range files {
			names = append(names, file)
		}
		slices.Sort(names)
		found = append(found, fmt.Sprintf("%s: methods of %s in %d files, at most %d: %s", dir, name, len(files), maxFiles, strings.Join(names, ", ")))
	}
	return found
}
