package payouts

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/shares"
)

func TestParseScheme(t *testing.T) {
	for text, want := range map[string]Scheme{"pplns": PPLNS, "PROP": PROP, "Pps": PPS, "fpps": FPPS, "solo": SOLO} {
		if got, err := ParseScheme(text); got != want || err != nil {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "pplnt", "pps "} {
		_, err := ParseScheme(text)
		if !errors.Is(err, ErrTerms) || !strings.Contains(err.Error(), "pplns, prop, pps, fpps, solo") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTermsCheck(t *testing.T) {
	for _, test := range []struct {
		terms Terms
		want  string // part of the error; empty for none
	}{
		{Terms{Scheme: PPLNS, Multiple: 2}, ""},
		{Terms{Scheme: PPLNS, Multiple: 8, Fee: Whole, Bonus: Whole}, ""},
		{Terms{Scheme: PROP, Multiple: -5, Bonus: 50}, ""},
		{Terms{Scheme: PPS, Fee: 400}, ""},
		{Terms{Scheme: FPPS}, ""},
		{Terms{Scheme: SOLO, Fee: 1}, ""},
		{Terms{}, "no scheme"},
		{Terms{Scheme: "PPLNS", Multiple: 8}, "no scheme"},
		{Terms{Scheme: PPLNS}, "give it 2 to 8"},
		{Terms{Scheme: PPLNS, Multiple: 1}, "give it 2 to 8"},
		{Terms{Scheme: PPLNS, Multiple: 9}, "give it 2 to 8"},
		{Terms{Scheme: PROP, Fee: -1}, "a fee of -1"},
		{Terms{Scheme: PROP, Fee: Whole + 1}, "a fee of 10001"},
		{Terms{Scheme: PROP, Bonus: -1}, "bonus of -1"},
		{Terms{Scheme: PROP, Bonus: Whole + 1}, "bonus of 10001"},
		{Terms{Scheme: PPS, Bonus: 1}, "bonus with pps: leave it out"},
		{Terms{Scheme: FPPS, Bonus: 1}, "bonus with fpps: leave it out"},
		{Terms{Scheme: SOLO, Bonus: 1}, "bonus with solo: leave it out"},
	} {
		err := test.terms.Check()
		if test.want == "" && err != nil || test.want != "" && (!errors.Is(err, ErrTerms) || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%+v: %v, want %q", test.terms, err, test.want)
		}
		if _, again := test.terms.Divide(1, work(done{"a", 1}), "a"); (again == nil) != (err == nil) {
			t.Errorf("%+v: Check says %v and Divide %v", test.terms, err, again)
		}
	}
}

func TestDivide(t *testing.T) {
	type weights = []done
	did := weights{{"a", 1}, {"c", 2}}
	for _, test := range []struct {
		name    string
		terms   Terms
		reward  int64
		weights weights
		finder  string
		want    Division
	}{
		{"pplns", Terms{Scheme: PPLNS, Multiple: 8, Fee: 100}, 1000, did, "a", Division{Credits: []Credit{{"a", 330}, {"c", 660}}, Fee: 10}},
		{"the fee is rounded down", Terms{Scheme: PROP, Fee: 100}, 199, did, "a", Division{Credits: []Credit{{"a", 66}, {"c", 132}}, Fee: 1}},
		{"a bonus for one of them", Terms{Scheme: PROP, Fee: 1000, Bonus: 1000}, 1000, did, "c", Division{Credits: []Credit{{"a", 270}, {"c", 630}}, Fee: 100}},
		{"a bonus for another", Terms{Scheme: PROP, Bonus: 1000}, 100, did, "b", Division{Credits: []Credit{{"a", 30}, {"b", 10}, {"c", 60}}}},
		{"a bonus rounded down to nothing", Terms{Scheme: PROP, Bonus: 1}, 9999, did, "b", Division{Credits: []Credit{{"a", 3333}, {"c", 6666}}}},
		{"a bonus for nobody", Terms{Scheme: PROP, Bonus: 1000}, 99, did, "", Division{Credits: []Credit{{"a", 33}, {"c", 66}}}},
		{"nobody has done anything", Terms{Scheme: PPLNS, Multiple: 2, Fee: 1000}, 100, nil, "a", Division{Fee: 10, Carry: 90}},
		{"but found it", Terms{Scheme: PPLNS, Multiple: 2, Fee: 1000, Bonus: 1000}, 100, weights{{"a", 0}}, "a", Division{Credits: []Credit{{"a", 9}}, Fee: 10, Carry: 81}},
		{"all is fee", Terms{Scheme: PROP, Fee: Whole}, 100, did, "a", Division{Fee: 100}},
		{"all is bonus", Terms{Scheme: PROP, Bonus: Whole}, 100, did, "b", Division{Credits: []Credit{{"b", 100}}}},
		{"no reward", Terms{Scheme: PROP, Fee: 100, Bonus: 100}, 0, did, "a", Division{}},
		{"no reward, nobody", Terms{Scheme: PROP}, 0, nil, "", Division{}},
		{"solo", Terms{Scheme: SOLO, Fee: 150}, 1000, did, "b", Division{Credits: []Credit{{"b", 985}}, Fee: 15}},
		{"solo with nothing", Terms{Scheme: SOLO}, 0, nil, "b", Division{}},
		{"solo with all as fee", Terms{Scheme: SOLO, Fee: Whole}, 10, nil, "b", Division{Fee: 10}},
		{"pps", Terms{Scheme: PPS, Fee: 400}, 1000, did, "a", Division{Reserve: 1000}},
		{"fpps without a finder", Terms{Scheme: FPPS}, 1000, nil, "", Division{Reserve: 1000}},
		{"all that there will be", Terms{Scheme: PROP, Fee: 9999}, MaxMoney, did, "", Division{
			Credits: []Credit{{"a", 70_000_000_000}, {"c", 140_000_000_000}}, Fee: MaxMoney - 210_000_000_000,
		}},
	} {
		got, err := test.terms.Divide(test.reward, work(test.weights...), test.finder)
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", test.name, err, diff)
		}
	}
}

func TestDivideRefuses(t *testing.T) {
	did := work(done{"a", 1})
	for name, test := range map[string]struct {
		terms  Terms
		reward int64
		did    []shares.Credit
		finder string
		want   error
	}{
		"a debt":             {Terms{Scheme: PROP}, -1, did, "a", ErrAmount},
		"a debt, per share":  {Terms{Scheme: PPS}, -1, did, "a", ErrAmount},
		"more than all":      {Terms{Scheme: SOLO}, MaxMoney + 1, did, "a", ErrAmount},
		"solo by nobody":     {Terms{Scheme: SOLO}, 1, did, "", ErrNoFinder},
		"weight that is not": {Terms{Scheme: PROP}, 1, work(done{"a", -1}), "a", shares.ErrWeight},
		"one twice":          {Terms{Scheme: PROP}, 1, work(done{"a", 1}, done{"a", 1}), "a", ErrTwice},
	} {
		if got, err := test.terms.Divide(test.reward, test.did, test.finder); !errors.Is(err, test.want) || !cmp.Equal(got, Division{}) {
			t.Errorf("%s: %+v, %v; want %v", name, got, err, test.want)
		}
	}
}

// drawTerms draws sensible terms.
func drawTerms(t *rapid.T) Terms {
	points := rapid.OneOf(rapid.Int64Range(0, 500), rapid.Int64Range(0, Whole))
	terms := Terms{
		Scheme:   rapid.SampledFrom(schemes()).Draw(t, "scheme"),
		Multiple: rapid.Int64Range(MinMultiple, MaxMultiple).Draw(t, "multiple"),
		Fee:      points.Draw(t, "fee"),
	}
	if terms.Scheme == PPLNS || terms.Scheme == PROP {
		terms.Bonus = points.Draw(t, "bonus")
	}
	return terms
}

// TestDivideSumsUp holds every division to the reward, to the satoshi, and to the fee and bonus promised.
func TestDivideSumsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		terms, reward, weights := drawTerms(t), drawAmount(t), drawWeights(t)
		finder := rapid.SampledFrom([]string{weights[0].Account, "stranger"}).Draw(t, "finder")
		d, err := terms.Divide(reward, weights, finder)
		if err != nil {
			t.Fatal(err)
		}
		sum := d.Fee + d.Carry + d.Reserve
		for i, c := range d.Credits {
			sum += c.Amount
			if c.Amount <= 0 || i > 0 && d.Credits[i-1].Account >= c.Account {
				t.Fatalf("credits are not sound: %+v", d.Credits)
			}
		}
		if sum != reward {
			t.Fatalf("%+v sums up to %d, not %d", d, sum, reward)
		}
		if d.Fee < 0 || float64(d.Fee) > float64(reward)*float64(terms.Fee)/Whole*(1+1e-12) {
			t.Fatalf("a fee of %d of %d", d.Fee, reward)
		}
		total, _ := totalWeight(weights)
		if d.Carry < 0 || d.Carry > 0 && total > 0 || terms.PerShare() != (d.Reserve > 0) && reward > 0 {
			t.Fatalf("%+v is carried or reserved for no reason", d)
		}
		bonus := float64(reward-d.Fee) * float64(terms.Bonus) / Whole
		if got := float64(amountsOf(d.Credits)[finder]); got < math.Floor(bonus*(1-1e-12)) {
			t.Fatalf("the finder has %.0f, less than a bonus of %f", got, bonus)
		}
	})
}
