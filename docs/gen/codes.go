package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
)

// problem is a code that problem documents may have.
type problem struct {
	code     string
	statuses []int // ascending
	explanation
}

// readProblems returns all problems, by code: the codes in the sources under root with
// their kinds, of which follow the statuses, and what explanations says of them. A code
// that is not explained is an error, and so is an explanation of a code that is nowhere.
func readProblems(root string) ([]problem, error) {
	kinds := make(map[string]domain.Kind) // by the names of the constants
	found := make(map[string][]string)    // the kinds of each code
	for _, room := range []string{"controller", "domain", "service", "repository", "pkg/server"} {
		err := filepath.WalkDir(filepath.Join(root, room), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return fmt.Errorf("read codes: %w", err)
			}
			collect(file, kinds, found)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("look for codes in %s: %w", room, err)
		}
	}
	explained, hidden := explanations(), unseen()
	problems := make([]problem, 0, len(explained))
	for code, e := range explained {
		p := problem{code: code, statuses: slices.Clone(e.also), explanation: e}
		for _, name := range found[code] {
			answer := middleware.ProblemFor(domain.New(kinds[name], code, ""))
			if answer.Code == code { // else it is one that callers do not see as it is
				p.statuses = append(p.statuses, answer.Status)
			}
		}
		if len(p.statuses) == 0 {
			return nil, fmt.Errorf("the code %s is explained, and nowhere in the sources", code)
		}
		slices.Sort(p.statuses)
		p.statuses = slices.Compact(p.statuses)
		problems = append(problems, p)
	}
	for _, code := range slices.Sorted(maps.Keys(found)) {
		if _, known := explained[code]; known || slices.Contains(hidden, code) {
			continue
		}
		for _, name := range found[code] {
			if middleware.ProblemFor(domain.New(kinds[name], code, "")).Code == code {
				return nil, fmt.Errorf("say in explanations what the code %s means and what its receiver should do", code)
			}
		}
	}
	slices.SortFunc(problems, func(a, b problem) int { return strings.Compare(a.code, b.code) })
	return problems, nil
}

// collect notes the kinds that a file declares, and the codes with which it makes errors:
// the text that follows a kind among the arguments of a call.
func collect(file *ast.File, kinds map[string]domain.Kind, found map[string][]string) {
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.ValueSpec:
			if kind, ok := n.Type.(*ast.Ident); ok && kind.Name == "Kind" && len(n.Names) == len(n.Values) {
				for i, name := range n.Names {
					kinds[name.Name] = domain.Kind(literal(n.Values[i]))
				}
			}
		case *ast.CallExpr:
			for i, argument := range n.Args[:max(0, len(n.Args)-1)] {
				kind, code := kindName(argument), literal(n.Args[i+1])
				if kind != "" && code != "" && !slices.Contains(found[code], kind) {
					found[code] = append(found[code], kind)
				}
			}
		}
		return true
	})
}

// kindName returns the name of a constant like domain.ErrNotFound, or "".
func kindName(e ast.Expr) string {
	if selector, ok := e.(*ast.SelectorExpr); ok {
		e = selector.Sel
	}
	if name, ok := e.(*ast.Ident); ok && strings.HasPrefix(name.Name, "Err") {
		return name.Name
	}
	return ""
}

// literal returns a text that stands in the source, or "".
func literal(e ast.Expr) string {
	if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.STRING {
		if text, err := strconv.Unquote(l.Value); err == nil {
			return text
		}
	}
	return ""
}
