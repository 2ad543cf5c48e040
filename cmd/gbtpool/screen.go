package main

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
)

// screen is where a command writes for people.
type screen struct {
	io.Writer
	// terminal reports whether a person looks on directly; colour whether to use colour there.
	terminal, colour bool
}

// errScreen is the screen for what goes wrong and how work goes. It has a type of its own, because kong
// tells what commands are given by their types.
type errScreen struct{ *screen }

// newScreen returns the screen that a file is.
func newScreen(f *os.File) *screen {
	terminal := isatty.IsTerminal(f.Fd())
	_, plain := os.LookupEnv("NO_COLOR") // no-color.org
	return &screen{Writer: f, terminal: terminal, colour: terminal && !plain && os.Getenv("TERM") != "dumb"}
}

// The colours that commands use, as SGR parameters.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// paint returns text in a colour if the screen has colours.
func (s *screen) paint(colour, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// printf writes a line. A screen that is gone is no reason to stop working.
func (s *screen) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(s, format+"\n", args...)
}

// logger returns a logger that writes text on a terminal and JSON elsewhere.
func (s *screen) logger(level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if !s.terminal {
		return slog.New(slog.NewJSONHandler(s, options))
	}
	options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.String(slog.TimeKey, a.Value.Time().Format(time.TimeOnly))
		}
		return a
	}
	return slog.New(slog.NewTextHandler(s, options))
}

// hashRate formats hashes per second with an SI prefix, up to YH/s.
func hashRate(perSecond float64) string {
	return si(perSecond) + "H/s"
}

// si formats a number with three digits and an SI prefix: "1.23 k".
func si(n float64) string {
	const prefixes = " kMGTPEZY"
	i := 0
	for n >= 999.5 && i < len(prefixes)-1 {
		n /= 1000
		i++
	}
	digits := 2 - int(math.Floor(math.Log10(max(n, 1))))
	return fmt.Sprintf("%.*f %s", max(0, digits), n, strings.TrimSpace(prefixes[i:i+1]))
}

// bitcoin formats an amount of satoshis in bitcoin, exactly.
func bitcoin(sat int64) string {
	sign := ""
	if sat < 0 {
		sign, sat = "-", -sat
	}
	return fmt.Sprintf("%s%d.%08d BTC", sign, sat/1e8, sat%1e8)
}
