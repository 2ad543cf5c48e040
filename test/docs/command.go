package docs

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Command is a command line of a page, and what the page says that it prints.
type Command struct {
	// Line is where it is in the page, from 1.
	Line int
	// Text is what is typed.
	Text string
	// Output are the lines that it prints, empty if the page shows none. What varies or is left out is an ellipsis (…).
	Output []string
}

// Commands returns the commands of a block: each of a console with what it prints, or a shell's script as one. Other
// blocks have none.
func (b Block) Commands() []Command {
	switch b.Kind {
	case "sh":
		return []Command{{Line: b.Line, Text: strings.Join(b.Lines, "\n")}}
	case "console":
	default:
		return nil
	}
	var out []Command
	more := false
	for i, line := range b.Lines {
		text, begins := strings.CutPrefix(line, "$ ")
		switch {
		case begins:
			out = append(out, Command{Line: b.Line + i, Text: text})
		case len(out) == 0:
			continue
		case more:
			out[len(out)-1].Text += "\n" + line
		default:
			out[len(out)-1].Output = append(out[len(out)-1].Output, line)
			continue
		}
		more = strings.HasSuffix(line, `\`)
	}
	return out
}

// Programs returns the programs that a command starts: the first word of each of its lines and of what stands behind a
// bar.
func (c Command) Programs() []string {
	var out []string
	for line := range strings.SplitSeq(strings.ReplaceAll(c.Text, "\\\n", " "), "\n") {
		for part := range strings.SplitSeq(line, " | ") {
			if words := strings.Fields(part); len(words) > 0 && !strings.HasPrefix(words[0], "#") && !slices.Contains(out, words[0]) {
				out = append(out, words[0])
			}
		}
	}
	return out
}

// Check compares what a command has printed with what the page says.
//
// Text is compared line by line: each line of the page is among those printed, in their order, an ellipsis in it standing
// for anything. JSON is compared by its form: whatever the page shows is there and of the same type, and words, such as
// a state, and truth values are the same; of a list each entry has its like. Null is like anything.
func (c Command) Check(printed string) error {
	if len(c.Output) == 0 {
		return nil
	}
	var want any
	text := regexp.MustCompile(`,?\s*`+ellipsis).ReplaceAllString(strings.Join(c.Output, "\n"), "")
	if json.Unmarshal([]byte(text), &want) != nil {
		return checkText(c.Output, printed)
	}
	var got any
	if err := json.Unmarshal([]byte(printed), &got); err != nil {
		return fmt.Errorf("what is printed is no JSON: %w", err)
	}
	return compare("", want, got)
}

// ellipsis stands for what varies or is left out.
const ellipsis = "…"

func checkText(want []string, printed string) error {
	lines := strings.Split(printed, "\n")
	for _, w := range want {
		if strings.Trim(w, ellipsis+" ") == "" {
			continue
		}
		at := slices.IndexFunc(lines, func(line string) bool { return like(w, strings.TrimRight(line, "\r")) })
		if at < 0 {
			return fmt.Errorf("no line such as %q", w)
		}
		lines = lines[at+1:]
	}
	return nil
}

// like reports whether a line is as one of the page.
func like(want, line string) bool {
	parts := strings.Split(want, ellipsis)
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(line)
}

// compare returns where JSON is not as a page has it.
func compare(at string, want, got any) error {
	if want == nil {
		return nil
	}
	if reflect.TypeOf(want) != reflect.TypeOf(got) {
		return fmt.Errorf("%s is %v, and not like %v", at, got, want)
	}
	switch want := want.(type) {
	case map[string]any:
		object, _ := got.(map[string]any) // it is of the same type
		for name, value := range want {
			other, ok := object[name]
			if !ok {
				return fmt.Errorf("there is no %s.%s", at, name)
			}
			if err := compare(at+"."+name, value, other); err != nil {
				return err
			}
		}
	case []any:
		list, _ := got.([]any) // it is of the same type
		for i, value := range want {
			var err error
			if !slices.ContainsFunc(list, func(other any) bool { err = compare(at+"[]", value, other); return err == nil }) {
				return fmt.Errorf("nothing in %s is like its entry %d: %w", at, i+1, err)
			}
		}
	case string:
		if isWord(want) && want != got {
			return fmt.Errorf("%s is %q, want %q", at, got, want)
		}
	case bool:
		if want != got {
			return fmt.Errorf("%s is %v, want %v", at, got, want)
		}
	}
	return nil
}

// isWord reports whether a text is a word of the program's, and not somebody's name or a figure.
func isWord(text string) bool { return regexp.MustCompile(`^[a-z]+([ _-][a-z]+)*$`).MatchString(text) }
