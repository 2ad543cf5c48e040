// Command bench measures the gateway side by side with the limit.
//
// Each of its cases starts what it needs — the gateway as a process of its own, a Redis, a node that gives out a
// template of a full block — and in turn the case's limit program: the least that could do the same, such as a bare
// server that sends the same bytes. Where another program does the same work, it is measured in turn too. What counts
// is the ratio, since all of them share the machine.
//
// With the argument medians it reads what go test -bench prints instead, several times for each benchmark, and prints
// the medians. With limit it is one of the limit programs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// command runs what the arguments say.
func command(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "medians":
			return report(os.Stdin, os.Stdout)
		case limitCommand:
			return runLimit(ctx, args[1:], os.Stdout)
		}
	}
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	return run(ctx, o, os.Stdout, os.Stderr)
}

// options say what to measure and where to write it.
type options struct {
	cases *regexp.Regexp
	count int           // rounds of each case
	smoke bool          // see that every case works, with small numbers
	polls int           // long polls that wait
	soak  time.Duration // of the soak
	out   string        // Markdown file with markers; empty for none
	json  string        // file for the measurements; empty for none
	// profile is the folder for CPU profiles of the gateways; empty for none.
	profile string
}

func parseOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	cases := flags.String("run", "", "measure only the cases whose names match this regular expression")
	flags.IntVar(&o.count, "count", 3, "how often each case is measured")
	flags.BoolVar(&o.smoke, "smoke", false, "only see that every case works: small numbers that mean nothing")
	flags.IntVar(&o.polls, "polls", 10_000, "how many long polls wait")
	flags.DurationVar(&o.soak, "soak", time.Minute, "how long the soak lasts")
	flags.StringVar(&o.out, "out", "", "Markdown `file` to write the table into, between its markers")
	flags.StringVar(&o.json, "json", "", "`file` to write the measurements into")
	flags.StringVar(&o.profile, "profile", "", "`folder` to write a CPU profile of each gateway into, of the time that it is measured")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is none of its arguments", flags.Arg(0))
	}
	if o.count < 1 || o.polls < 1 || o.soak <= 0 {
		return o, errors.New("-count, -polls and -soak have to be above 0")
	}
	var err error
	if o.cases, err = regexp.Compile(*cases); err != nil {
		return o, fmt.Errorf("-run: %w", err)
	}
	if o.smoke {
		o.count, o.polls, o.soak = 1, min(o.polls, 50), min(o.soak, 2*time.Second)
	}
	return o, nil
}
