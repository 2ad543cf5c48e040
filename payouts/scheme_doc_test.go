package payouts

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/gbtpool/gbtpool/shares"
)

// TestSchemesDoc computes what docs/schemes.md says, in the words of the document.
func TestSchemesDoc(t *testing.T) {
	raw, err := os.ReadFile("../docs/schemes.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := strings.Join(strings.Fields(string(raw)), " ") // lines break anywhere
	says := func(text string) {
		t.Helper()
		if !strings.Contains(doc, text) {
			t.Errorf("docs/schemes.md does not say: %s", text)
		}
	}

	const subsidy, fees, network = 312_500_000, 6_250_000, 1_000_000
	window := work(done{"Alice", 1_200_000}, done{"Bob", 799_999}, done{"Carol", 1})
	round := work(done{"Alice", 100_000}, done{"Bob", 400_000}, done{"Carol", 200_000})
	for _, row := range []struct {
		name    string
		terms   Terms
		weights []shares.Credit
	}{
		{"`pplns`, N = 2", Terms{Scheme: PPLNS, Multiple: 2, Fee: 200}, window},
		{"`pplns`, N = 2, bonus 1 %", Terms{Scheme: PPLNS, Multiple: 2, Fee: 200, Bonus: 100}, window},
		{"`prop`", Terms{Scheme: PROP, Fee: 200}, round},
		{"`pps`", Terms{Scheme: PPS, Fee: 200}, round},
		{"`fpps`", Terms{Scheme: FPPS, Fee: 200}, round},
		{"`solo`", Terms{Scheme: SOLO, Fee: 200}, round},
	} {
		d, err := row.terms.Divide(subsidy+fees, row.weights, "Bob")
		if err != nil {
			t.Fatal(err)
		}
		if row.terms.PerShare() {
			var accrued int64
			if d.Credits, accrued, err = row.terms.Accrue(row.weights, network, subsidy, fees); err != nil {
				t.Fatal(err)
			}
			d.Reserve -= accrued
		}
		has := amountsOf(d.Credits)
		says(fmt.Sprintf("| %s | %s | %s | %s | %s | %s |", row.name,
			grouped(has["Alice"]), grouped(has["Bob"]), grouped(has["Carol"]), grouped(d.Fee), grouped(d.Reserve)))
	}

	three, err := Split(10, work(done{"a", 3}, done{"b", 3}, done{"c", 1}))
	if err != nil {
		t.Fatal(err)
	}
	says(fmt.Sprintf("goes to the third: %d, %d and %d.", three[0].Amount, three[1].Amount, three[2].Amount))
	says(fmt.Sprintf("at x = 0.4348, less from then on. A **hopper** mines here only until then, and elsewhere for the rest of the round. Its work here earns %.3f times", hopperUntil(0.4348)))
	reserve := func(fee float64) float64 { return math.Log(1000) / (2 * fee) }
	says(fmt.Sprintf("for d = 0.1 %%, %.0f blocks' rewards at a fee of 1 %%, %.0f at 2 %%, %.0f at 4 %%", reserve(0.01), reserve(0.02), reserve(0.04)))
	unpaid := []string{"| never paid"}
	for n, digits := range []int{2: 1, 3: 1, 4: 1, 5: 2, 6: 2, 7: 2, 8: 3} {
		if n >= MinMultiple {
			unpaid = append(unpaid, fmt.Sprintf("%.*f %%", digits, 100*math.Exp(-float64(n))))
		}
	}
	says(strings.Join(unpaid, " | ") + " |")
}

// grouped writes a number with commas between thousands.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
