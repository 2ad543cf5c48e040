package web_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// element is a start tag of a page.
type element struct {
	name       string
	attributes map[string]string
}

var (
	tagForm       = regexp.MustCompile(`<(/?)([a-zA-Z][a-zA-Z0-9]*)((?:\s+[a-zA-Z-]+(?:="[^"<>]*")?)*)\s*(/?)>`)
	attributeForm = regexp.MustCompile(`([a-zA-Z-]+)(?:="([^"]*)")?`)
)

// voids have no end tag.
func voids() []string { return []string{"meta", "link", "input", "br", "hr", "img"} }

// elements reads a page more strictly than browsers do: every tag is closed where it has to be,
// every attribute is in double quotes, and no "<" is anything but a tag's.
func elements(page string) ([]element, error) {
	rest, ok := strings.CutPrefix(page, "<!doctype html>")
	if !ok {
		return nil, fmt.Errorf("no doctype")
	}
	var out []element
	var open []string
	for {
		i := strings.IndexByte(rest, '<')
		if i < 0 {
			break
		}
		m := tagForm.FindStringSubmatch(rest[i:])
		if m == nil || !strings.HasPrefix(rest[i:], m[0]) {
			return nil, fmt.Errorf("no tag: %.80q", rest[i:])
		}
		rest = rest[i+len(m[0]):]
		name, self := m[2], m[4] == "/"
		if m[1] == "/" {
			if len(open) == 0 || open[len(open)-1] != name {
				return nil, fmt.Errorf("</%s> closes %v", name, open)
			}
			open = open[:len(open)-1]
			continue
		}
		e := element{name: name, attributes: make(map[string]string)}
		for _, a := range attributeForm.FindAllStringSubmatch(m[3], -1) {
			if _, twice := e.attributes[a[1]]; twice {
				return nil, fmt.Errorf("<%s> has %s twice", name, a[1])
			}
			e.attributes[a[1]] = a[2]
		}
		out = append(out, e)
		if !self && !slices.Contains(voids(), name) {
			open = append(open, name)
		}
	}
	if len(open) > 0 {
		return nil, fmt.Errorf("left open: %v", open)
	}
	return out, nil
}

// checkHTML fails if a page is no valid HTML, needs what the Content-Security-Policy forbids, or
// leads anywhere but to this server.
func checkHTML(t *testing.T, name, page string) {
	t.Helper()
	all, err := elements(page)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	ids := make(map[string]bool)
	refers := make(map[string][]string)
	for _, e := range all {
		if id, ok := e.attributes["id"]; ok {
			if ids[id] {
				t.Errorf("%s: two elements have the id %q", name, id)
			}
			ids[id] = true
		}
		for attribute, value := range e.attributes {
			switch {
			case attribute == "style", strings.HasPrefix(attribute, "on"):
				t.Errorf("%s: <%s %s>", name, e.name, attribute)
			case attribute == "href", attribute == "src", attribute == "action":
				if !strings.HasPrefix(value, "/") && !strings.HasPrefix(value, "#") || strings.HasPrefix(value, "//") {
					t.Errorf("%s: <%s> leads to %q", name, e.name, value)
				}
			case attribute == "aria-labelledby", attribute == "aria-describedby", attribute == "aria-details", attribute == "for":
				refers[value] = append(refers[value], e.name+" "+attribute)
			}
		}
		if e.name == "style" || e.name == "script" && e.attributes["src"] == "" {
			t.Errorf("%s: inline <%s>", name, e.name)
		}
	}
	for id, by := range refers {
		if !ids[id] {
			t.Errorf("%s: %v refer to %q, which is not there", name, by, id)
		}
	}
}

func TestCheckHTML(t *testing.T) {
	const head = "<!doctype html>"
	for _, bad := range []string{
		"<p>", head + "<p>", head + "<b><i></b></i>", head + "a < b", head + `<p id=x></p>`, head + `<p a="1" a="2"></p>`, head + `<p title="<b>"></p>`,
	} {
		if _, err := elements(bad); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
	all, err := elements(head + `<html lang="en"><meta charset="utf-8"><p hidden>x &lt; y</p><svg><path d="M0"/></svg></html>`)
	if err != nil || len(all) != 5 {
		t.Errorf("got %v, %v", all, err)
	}
}
