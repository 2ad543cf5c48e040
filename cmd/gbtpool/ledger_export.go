package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/gbtpool/gbtpool/internal/ledgerfile"
	"github.com/gbtpool/gbtpool/internal/redisstore"
)

// ledgerExportCmd exports a ledger.
type ledgerExportCmd struct {
	ledgerFlags `embed:""`
	Force       bool   `help:"Replace the file if it is there."`
	File        string `arg:"" help:"File to write, such as ledger.jsonl.zst; - is standard output."`
}

// Run implements the command.
func (c *ledgerExportCmd) Run(ctx context.Context, out *screen, errs errScreen) error {
	// Only the export may be on standard output if it goes there, whatever else the command says.
	stdout := newScreen(os.Stdout)
	if c.File == "-" {
		out = errs.screen
	}
	if c.File == "-" && stdout.terminal {
		return errors.New("the export is compressed, which is nothing to read: name a file, or send standard output into one")
	}
	if err := c.mayWrite(); err != nil {
		return err
	}
	return c.with(ctx, func(l *redisstore.Ledger) error {
		start, status := time.Now(), newStatusLine(errs.screen)
		var done redisstore.Exported
		size, err := c.write(stdout, func(w io.Writer) error {
			var err error
			done, err = l.Export(ctx, w, func(e redisstore.Exported) {
				status.show(fmt.Sprintf("exporting partition %d of %d: %s", e.Partition+1, l.Partitions(), pace(e.Detail, e.Expected, e.Detail, start)))
			})
			return err
		})
		status.clear()
		switch {
		case err != nil && ctx.Err() != nil:
			return errors.New("interrupted: nothing was exported")
		case err != nil:
			return err
		}
		showExported(out, l, &done)
		out.printf("%sB in %s", si(float64(size)), time.Since(start).Round(time.Millisecond))
		if c.File != "-" {
			out.printf("check it anywhere with: gbtpool ledger verify %s", c.File)
		}
		return nil
	})
}

// showExported prints what is in an export.
func showExported(out *screen, l *redisstore.Ledger, e *redisstore.Exported) {
	folded := ""
	if n := e.Shares - e.Detail; n > 0 {
		folded = fmt.Sprintf(" (%d of them folded into sums)", n)
	}
	out.printf("%s ledger %s: %s of %s%s", out.paint(green, "exported"), out.paint(bold, l.ID()),
		count(e.Shares, "share"), bigHashes(new(big.Int).Lsh(e.Weight, uint(l.Unit()))), folded)
	out.printf("SHA-256 of its %d lines %x", e.End.Lines, e.End.SHA256)
}

// mayWrite refuses to replace a file unless told to, and what is no file anyway.
func (c *ledgerExportCmd) mayWrite() error {
	if c.File == "-" {
		return nil
	}
	info, err := os.Lstat(c.File)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("export: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file: name another, or - for standard output", c.File)
	case !c.Force:
		return fmt.Errorf("%s is there already: name another file, or replace it with --force", c.File)
	default:
		return nil
	}
}

// write writes the file, or standard output, and returns its size. The file is there under its name once
// it is whole and on the disk, and not at all if anything fails.
func (c *ledgerExportCmd) write(stdout io.Writer, export func(io.Writer) error) (int64, error) {
	if c.File == "-" {
		counted := &counter{Writer: stdout}
		err := export(counted)
		return counted.n, err
	}
	dir := filepath.Dir(c.File)
	temp, err := os.CreateTemp(dir, "."+filepath.Base(c.File)+".*.tmp")
	if err != nil {
		return 0, fmt.Errorf("export: %w", err)
	}
	counted := &counter{Writer: temp}
	err = export(counted)
	if err == nil {
		err = temp.Sync()
	}
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = c.mayWrite() // somebody may have made it meanwhile
	}
	if err == nil {
		err = os.Rename(temp.Name(), c.File)
	}
	if err != nil {
		return 0, errors.Join(err, os.Remove(temp.Name()))
	}
	return counted.n, syncDir(dir)
}

// syncDir has a folder's names survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the folder of a file that the user named
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// counter counts what is written.
type counter struct {
	io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.n += int64(n)
	return n, err
}

// ledgerVerifyCmd verifies an export.
type ledgerVerifyCmd struct {
	File string `arg:"" help:"Export to verify; - is standard input."`
}

// Run implements the command.
func (c *ledgerVerifyCmd) Run(ctx context.Context, out *screen, errs errScreen) error {
	file, size := os.Stdin, int64(0)
	if c.File != "-" {
		var err error
		if file, err = os.Open(c.File); err != nil {
			return fmt.Errorf("the export cannot be read: %w", err)
		}
		defer file.Close() //nolint:errcheck // it was only read
		if info, err := file.Stat(); err == nil {
			size = info.Size()
		}
	}
	start, status := time.Now(), newStatusLine(errs.screen)
	report, err := ledgerfile.Verify(ctx, file, func(p ledgerfile.Progress) {
		status.show("verifying " + pace(p.Bytes, size, p.Shares, start))
	})
	status.clear()
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted: the export was not verified to its end")
	}
	if err != nil {
		return err
	}
	return showReport(out, report)
}

// showReport prints what verifying found. It fails if the export is not sound.
func showReport(out *screen, r *ledgerfile.Report) error {
	work := func(weight *big.Int) string { return bigHashes(new(big.Int).Lsh(weight, uint(r.Header.Unit))) }
	if h := &r.Header; h.Ledger != "" {
		out.printf("ledger %s for chain %s, made %s, exported %s", out.paint(bold, h.Ledger), h.Chain,
			h.Created.Format(time.RFC3339), h.Exported.Format(time.RFC3339))
		out.printf("%9s  %12s  %12s  %9s  %s", "partition", "shares", "in detail", "accounts", "work")
	}
	bad := func(fault string) { out.printf("  %s %s", out.paint(red, "✗"), fault) }
	for _, p := range r.Parts {
		out.printf("%9d  %12d  %12d  %9d  %s", p.Partition, p.Shares, p.Detail, p.Accounts, work(p.Weight))
		for _, fault := range p.Faults {
			bad(fault)
		}
	}
	for _, fault := range r.Faults {
		bad(fault)
	}
	for _, note := range r.Notes {
		out.printf("  %s %s", out.paint(yellow, "!"), note)
	}
	of := "export"
	if r.Header.Ledger != "" {
		of += " of ledger " + r.Header.Ledger
	}
	if n := r.CountFaults(); n > 0 {
		out.printf("%s: %s; do not rely on it, make another one or copy it again", out.paint(red, of+" is not sound"), count(n, "fault"))
		return errSilent
	}
	shares, weight := r.Totals()
	out.printf("%s; SHA-256 of its %d lines %x", count(r.Blocks, "block"), r.End.Lines, r.End.SHA256)
	out.printf("%s: %s of %s", out.paint(green, of+" is sound"), count(shares, "share"), work(weight))
	return nil
}

// statusLine is a line that tells how far long work has come, on a terminal only.
type statusLine struct {
	screen *screen
	shown  time.Time
}

// statusEvery is how often a status line changes.
const statusEvery = 250 * time.Millisecond

func newStatusLine(s *screen) *statusLine { return &statusLine{screen: s, shown: time.Now()} }

// show rewrites the line, unless it did just now.
func (s *statusLine) show(text string) {
	if !s.screen.terminal || time.Since(s.shown) < statusEvery {
		return
	}
	s.shown = time.Now()
	_, _ = fmt.Fprintf(s.screen, "\r\x1b[K%s", text)
}

// clear takes the line away.
func (s *statusLine) clear() {
	if s.screen.terminal {
		_, _ = fmt.Fprint(s.screen, "\r\x1b[K")
	}
}

// pace says how far work has come, of how much if that is known, how many shares that is, how fast it
// goes, and how long it will take.
func pace(done, all, shares int64, start time.Time) string {
	took := time.Since(start)
	text := fmt.Sprintf("%sshares, %sa second", spaced(shares), spaced(int64(float64(shares)/max(took.Seconds(), 1e-3))))
	if all <= 0 || done <= 0 {
		return text
	}
	part := min(float64(done)/float64(all), 1)
	left := time.Duration(float64(took) * (1 - part) / part).Round(time.Second)
	return fmt.Sprintf("%.0f %%, %s, %s to go", 100*part, text, left)
}

// spaced writes a number with an SI prefix and a space after it.
func spaced(n int64) string {
	text := si(float64(n))
	if n < 1000 {
		text = fmt.Sprint(n, " ")
	}
	if text[len(text)-1] != ' ' {
		text += " "
	}
	return text
}
