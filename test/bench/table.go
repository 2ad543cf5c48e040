package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// Where the table goes in a Markdown file.
const (
	tableBegin = "<!-- bench: begin -->"
	tableEnd   = "<!-- bench: end -->"
)

// columns are the table's.
func columns() []string {
	return []string{"case", "what", "ours", "limit", "ratio", "peer", "ratio", "bar", "met"}
}

// cells returns a row as text.
func (r *row) cells() []string {
	of := func(values []float64) string {
		if len(values) == 0 {
			return ""
		}
		return text(median(values)) + " " + r.Unit
	}
	ratio := func(other []float64) string {
		v, ok := r.ratio(other)
		if !ok {
			return ""
		}
		return text(v)
	}
	bars, met := make([]string, 0, len(r.Bars)), make([]string, 0, len(r.Bars))
	for _, b := range r.Bars {
		bars = append(bars, b.text(r.Unit))
		word := "no"
		if r.met(b) {
			word = "yes"
		}
		met = append(met, word)
	}
	return []string{
		r.Case, r.What, of(r.Ours), of(r.Limit), ratio(r.Limit), of(r.Peer), ratio(r.Peer),
		strings.Join(bars, ", "), strings.Join(met, ", "),
	}
}

// notes returns what the rows' limits and peers are, and what else is to be known.
func (r *row) notes() []string {
	var out []string
	if r.LimitIs != "" {
		out = append(out, "limit: "+r.LimitIs)
	}
	if r.PeerIs != "" {
		out = append(out, "peer: "+r.PeerIs)
	}
	if r.Note != "" {
		out = append(out, r.Note)
	}
	return out
}

// plainTable is the table for a terminal.
func plainTable(at machine, rows []row) string {
	var out bytes.Buffer
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	line := func(cells []string) { fmt.Fprintln(w, strings.Join(cells, "\t")) } //nolint:errcheck // a buffer takes all
	line(columns())
	for i := range rows {
		line(rows[i].cells())
	}
	_ = w.Flush() // a buffer takes all
	out.WriteString("\n" + at.text() + "\n")
	return out.String()
}

// markdownTable is the table for a Markdown file.
func markdownTable(at machine, rows []row) string {
	var out strings.Builder
	line := func(cells []string) { out.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	out.WriteString(wrap(at.text(), 128) + "\n\n")
	line(columns())
	out.WriteString(strings.Repeat("|---", len(columns())) + "|\n")
	for i := range rows {
		line(rows[i].cells())
	}
	out.WriteString("\n")
	for i := range rows {
		if notes := rows[i].notes(); len(notes) > 0 {
			out.WriteString(wrap(fmt.Sprintf("- %s, %s: %s.", rows[i].Case, rows[i].What, strings.Join(notes, "; ")), 128) + "\n")
		}
	}
	return out.String()
}

// wrap breaks a text into lines of at most so many characters.
func wrap(text string, most int) string {
	var out strings.Builder
	at := 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case at == 0:
		case at+1+n > most:
			out.WriteString("\n")
			at = 0
			if strings.HasPrefix(text, "- ") {
				out.WriteString("  ")
				at = 2
			}
		default:
			out.WriteString(" ")
			at++
		}
		out.WriteString(word)
		at += n
	}
	return out.String()
}

// aroundSection returns what a file has before and after its markers.
func aroundSection(path string) (before, after string, err error) {
	old, err := os.ReadFile(path) //nolint:gosec // whoever runs it says where
	if err != nil {
		return "", "", err
	}
	before, rest, ok := strings.Cut(string(old), tableBegin)
	_, after, ended := strings.Cut(rest, tableEnd)
	if !ok || !ended {
		return "", "", fmt.Errorf("%s has no %s and %s after it", path, tableBegin, tableEnd)
	}
	return before, after, nil
}

// replaceSection puts a text between the markers of a file.
func replaceSection(path, section string) error {
	before, after, err := aroundSection(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(before+tableBegin+"\n"+section+tableEnd+after), 0o644) //nolint:gosec // anybody may read it
}
