package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/gbtpool/gbtpool/payouts"
)

// payoutsSimulateCmd plays reward schemes through.
type payoutsSimulateCmd struct {
	HopAt    float64 `default:"0.435" help:"Age of a round until which the pool hopper mines here, in network difficulties."`
	Blocks   int     `default:"50000" help:"Blocks that the pool finds; 1000 to a million. More take longer and are more exact."`
	Seed     uint64  `default:"1" help:"Another seed is another luck."`
	Fee      int64   `default:"200" help:"The pool's fee in basis points: 100 is one per cent."`
	Multiple int64   `default:"8" help:"Size of the PPLNS window in network difficulties, 2 to 8."`
}

// Run implements the command.
func (c *payoutsSimulateCmd) Run(_ context.Context, out *screen) error {
	results, err := payouts.Simulate(payouts.SimConfig{
		Seed: c.Seed, Blocks: c.Blocks, HopAt: c.HopAt, Fee: c.Fee, Multiple: c.Multiple,
	})
	if err != nil {
		return err
	}
	out.printf("%d blocks, seed %d: fee %.2f %%, PPLNS window of %d difficulties, hopper there until a round is %g difficulties old",
		c.Blocks, c.Seed, float64(c.Fee)/100, c.Multiple, c.HopAt)
	out.printf("")
	showSimulation(out, results)
	out.printf("")
	out.printf("hopper, others  earned by who mines at the beginning of rounds only, and by all who stay. 100 %% is what their")
	out.printf("                work is worth: its part of the blocks that it finds on average, less the fee.")
	out.printf("stay            miners who come for the time of so many of the pool's blocks, with a thousandth of its work:")
	out.printf("                standard deviation of what they get in the end (%s), and how many get nothing.", out.paint(bold, "±"))
	out.printf("reserve         how many blocks' rewards the operator was behind at the worst.")
	out.printf("PPS pays no transaction fees, a fiftieth of the reward here. Shares' own luck is not in it.")
	return nil
}

// showSimulation prints how it went, a scheme per line.
func showSimulation(out *screen, results []payouts.SimResult) {
	var line strings.Builder
	fmt.Fprintf(&line, "%-6s  %8s  %8s", "scheme", "hopper", "others")
	for _, length := range payouts.StayLengths() {
		fmt.Fprintf(&line, "  %14s  %8s", fmt.Sprintf("±, stay of %d", length), "nothing")
	}
	out.printf("%s  %7s", line.String(), "reserve")
	for _, r := range results {
		line.Reset()
		hopper := fmt.Sprintf("%8s", percent(r.Hopper))
		if r.Hopper > 1.1 {
			hopper = out.paint(red, hopper)
		}
		fmt.Fprintf(&line, "%-6s  %s  %8s", r.Scheme, hopper, percent(r.Honest))
		for _, s := range r.Stays {
			fmt.Fprintf(&line, "  %14s  %8s", percent(s.Deviation), percent(s.None))
		}
		out.printf("%s  %7.1f", line.String(), r.Shortfall)
	}
}

// percent formats a part as a percentage, the larger the fewer digits.
func percent(part float64) string {
	digits := 1
	switch p := 100 * part; {
	case p >= 1000:
		digits = 0
	case p >= 0.001 && p < 1:
		digits = 3
	}
	return fmt.Sprintf("%.*f %%", digits, 100*part)
}
