package main

import (
	"github.com/gbtpool/gbtpool/internal/app"
)

// showChecklist prints a checklist, one aligned line per item, and under each that needs it what
// to change.
func showChecklist(s *screen, list app.Checklist) {
	width := 0
	for _, item := range list {
		width = max(width, len(item.Name))
	}
	for _, item := range list {
		s.printf("%s %-*s  %s", mark(s, item.Mark), width, item.Name, item.Text)
		if item.Change != "" {
			s.printf("  %-*s  %s", width, "", s.paint(yellow, item.Change))
		}
	}
}

// mark returns the sign of a mark: a word's worth where there is no colour to tell by.
func mark(s *screen, m app.Mark) string {
	switch m {
	case app.Good:
		return s.paint(green, "✓")
	case app.Notice:
		return s.paint(yellow, "!")
	case app.Bad:
		return s.paint(red, "✗")
	default:
		return "?"
	}
}
