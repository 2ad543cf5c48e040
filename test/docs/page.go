package docs

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Page is a document in Markdown.
type Page struct {
	// Path is the document's, from the module's root, with slashes.
	Path string
	// Text is all of it.
	Text string

	root string
}

// Read reads a page. root is the folder of the module.
func Read(root, name string) (Page, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name))) //nolint:gosec // tests name it
	if err != nil {
		return Page{}, fmt.Errorf("docs: %w", err)
	}
	return Page{Path: name, Text: string(text), root: root}, nil
}

// Block is what stands between two fences.
type Block struct {
	// Kind is the first word behind the fence, and Name the second: the file that a program is kept in. Either may be
	// empty.
	Kind, Name string
	// Line is where the first of Lines is in the page, from 1.
	Line  int
	Lines []string
}

// split returns the blocks of a page, and its text without them.
func (p Page) split() ([]Block, string) {
	var blocks []Block
	var prose strings.Builder
	inside := false
	at := 0
	for line := range strings.Lines(p.Text) {
		at++
		line = strings.TrimRight(line, "\n")
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && inside:
			inside = false
		case isFence:
			inside = true
			kind, name, _ := strings.Cut(fence, " ")
			blocks = append(blocks, Block{Kind: kind, Name: name, Line: at + 1})
		case inside:
			last := &blocks[len(blocks)-1]
			last.Lines = append(last.Lines, line)
		default:
			prose.WriteString(line + "\n")
		}
	}
	return blocks, prose.String()
}

// Blocks returns the blocks in their order.
func (p Page) Blocks() []Block {
	blocks, _ := p.split()
	return blocks
}

// Prose returns the page without its blocks.
func (p Page) Prose() string {
	_, prose := p.split()
	return prose
}

// Anchors returns what links to the page's headings end in, as GitHub makes them.
func (p Page) Anchors() []string {
	var out []string
	for line := range strings.Lines(p.Prose()) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			out = append(out, slug(title))
		}
	}
	return out
}

// slug returns a heading's anchor: its letters and digits in lower case, with hyphens for spaces.
func slug(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		default:
			return -1
		}
	}, strings.TrimSpace(title))
}

// Links returns where the page's links lead, but for those to other sites.
func (p Page) Links() []string {
	var out []string
	for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(p.Prose(), -1) {
		if !strings.HasPrefix(m[1], "http://") && !strings.HasPrefix(m[1], "https://") {
			out = append(out, m[1])
		}
	}
	return out
}

// Follow returns why a link of the page leads nowhere: its file is not there, or has no such heading.
func (p Page) Follow(link string) error {
	file, anchor, anchored := strings.Cut(link, "#")
	target := p.Path
	if file != "" {
		target = path.Join(path.Dir(p.Path), file)
	}
	if !anchored {
		_, err := os.Stat(filepath.Join(p.root, filepath.FromSlash(target)))
		return err
	}
	there, err := Read(p.root, target)
	if err != nil {
		return err
	}
	if !slices.Contains(there.Anchors(), anchor) {
		return fmt.Errorf("%s has no heading %q", target, anchor)
	}
	return nil
}

// Table returns the cells of the rows of the first table with a head, whose first cells are named.
func (p Page) Table(head ...string) ([][]string, error) {
	var rows [][]string
	inside := false
	for line := range strings.Lines(p.Prose()) {
		row := cells(strings.TrimSpace(line))
		switch {
		case !inside:
			inside = len(row) >= len(head) && slices.Equal(row[:len(head)], head)
		case row == nil:
			return rows, nil
		case strings.Trim(row[0], "-:") != "":
			rows = append(rows, row)
		}
	}
	if !inside {
		return nil, errors.New(p.Path + " has no table with the head " + strings.Join(head, ", "))
	}
	return rows, nil
}

// cells returns the cells of a row; nil if a line is none.
func cells(line string) []string {
	inner, ok := strings.CutPrefix(line, "|")
	if !ok {
		return nil
	}
	row := strings.Split(strings.TrimSuffix(inner, "|"), "|")
	for i := range row {
		row[i] = strings.TrimSpace(row[i])
	}
	return row
}

// Code returns what stands between single backquotes in a text, in its order.
func Code(text string) []string {
	found := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1)
	out := make([]string, len(found))
	for i, m := range found {
		out[i] = m[1]
	}
	return out
}
