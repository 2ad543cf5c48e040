package web

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// amount is a number and its unit, apart, so that a page can set them differently.
type amount struct {
	N, Unit string
}

func (a amount) String() string {
	if a.Unit == "" {
		return a.N
	}
	return a.N + " " + a.Unit
}

// scaled writes a number with three significant digits and an SI prefix, up to Y (10^24).
func scaled(v float64, unit string) amount {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return amount{N: "–", Unit: unit}
	}
	prefixes := [...]string{"", "k", "M", "G", "T", "P", "E", "Z", "Y"}
	i := 0
	for math.Abs(v) >= 999.5 && i < len(prefixes)-1 {
		v /= 1000
		i++
	}
	return amount{N: digits(v), Unit: prefixes[i] + unit}
}

// digits writes a number with about three significant digits, and groups from 1000 on.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a >= 999.5:
		return grouped(int64(math.Round(v)))
	case a >= 99.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 0.01:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// rate writes hashes per second.
func rate(hs float64) amount { return scaled(hs, "H/s") }

// difficulty writes a difficulty for people.
func difficulty(d float64) string {
	a := scaled(d, "")
	return strings.TrimSpace(strings.TrimSuffix(a.N, ".00") + " " + a.Unit)
}

// work writes a decimal number of hashes, which may be larger than any integer type.
func work(hashes string) amount {
	n, ok := new(big.Int).SetString(hashes, 10)
	if !ok {
		return amount{N: "–"}
	}
	v, _ := new(big.Float).SetInt(n).Float64()
	return scaled(v, "H")
}

// grouped writes an integer with commas between groups of three digits.
func grouped[I int | int32 | int64](n I) string {
	s := strconv.FormatInt(int64(n), 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	var out []byte
	for i, c := range []byte(s) {
		if i > 0 && (len(s)-i)%3 == 0 {
			out = append(out, ',')
		}
		out = append(out, c)
	}
	return sign + string(out)
}

// count writes any integer that a page has.
func count(n any) (string, error) {
	switch n := n.(type) {
	case int:
		return grouped(n), nil
	case int32:
		return grouped(n), nil
	case int64:
		return grouped(n), nil
	case *int: // what the contract leaves out, if it is there
		return grouped(*n), nil
	case *int32:
		return grouped(*n), nil
	case *int64:
		return grouped(*n), nil
	}
	return "", fmt.Errorf("web: count of %T", n)
}

// coinFrom is the number of satoshis from which on amounts are written in bitcoins.
const coinFrom = 1_000_000

// coins writes satoshis in bitcoins with all eight places, for columns.
func coins(sat int64) amount {
	const coin = 100_000_000
	sign := ""
	if sat < 0 {
		sign, sat = "-", -sat
	}
	return amount{N: fmt.Sprintf("%s%s.%08d", sign, grouped(sat/coin), sat%coin), Unit: "BTC"}
}

// money writes satoshis: from 0.01 BTC on in bitcoins with all eight places, below in satoshis.
func money(sat int64) amount {
	if sat < coinFrom && sat > -coinFrom {
		return amount{N: grouped(sat), Unit: "sat"}
	}
	return coins(sat)
}

// percent writes a ratio.
func percent(ratio float64) string {
	v := ratio * 100
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case a == 0:
		return "0 %"
	case a < 0.001:
		return "< 0.001 %"
	case a < 0.1:
		return strconv.FormatFloat(v, 'f', 3, 64) + " %"
	case a < 10:
		return strconv.FormatFloat(v, 'f', 2, 64) + " %"
	case a < 999.5:
		return strconv.FormatFloat(v, 'f', 1, 64) + " %"
	}
	return grouped(int64(min(math.Round(v), 1e15))) + " %"
}

// basisPoints writes hundredths of a per cent.
func basisPoints(bp int64) string {
	s := fmt.Sprintf("%d.%02d", bp/100, bp%100)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") + " %"
}

// lasting writes a time in its two largest units, in seconds.
func lasting(seconds float64) string {
	if math.IsNaN(seconds) || math.IsInf(seconds, 0) || seconds < 0 {
		return "–"
	}
	const minute, hour, day, year = 60, 3600, 86400, 365.25 * 86400
	two := func(large, small float64, l, s string) string {
		n := math.Floor(seconds / large)
		rest := math.Floor((seconds - n*large) / small)
		if rest == 0 {
			return fmt.Sprintf("%.0f %s", n, l)
		}
		return fmt.Sprintf("%.0f %s %.0f %s", n, l, rest, s)
	}
	switch {
	case seconds == 0:
		return "0 s"
	case seconds < 1:
		return fmt.Sprintf("%.0f ms", seconds*1000)
	case seconds < 10:
		return strconv.FormatFloat(seconds, 'f', 1, 64) + " s"
	case seconds < 2*minute:
		return fmt.Sprintf("%.0f s", seconds)
	case seconds < hour:
		return fmt.Sprintf("%.0f min", math.Floor(seconds/minute))
	case seconds < day:
		return two(hour, minute, "h", "min")
	case seconds < 100*day:
		return two(day, hour, "d", "h")
	case seconds < 2*year:
		return grouped(int64(seconds/day)) + " d"
	case seconds < 1e6*year:
		return grouped(int64(seconds/year)) + " years"
	}
	return "more than a million years"
}

// since writes how long ago a time is, or how far ahead.
func since(now, t time.Time) string {
	d := now.Sub(t)
	switch {
	case d >= 0 && d < time.Second, d < 0 && d > -time.Second:
		return "now"
	case d < 0:
		return "in " + lasting(math.Floor((-d).Seconds()))
	case d < 10*time.Second:
		return fmt.Sprintf("%.0f s ago", math.Floor(d.Seconds()))
	}
	return lasting(math.Floor(d.Seconds())) + " ago"
}

// stamp writes a time exactly.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }

// mask shortens an address so that a picture of the page does not tell whose it is.
func mask(address string) string {
	if len(address) <= 10 {
		return address
	}
	return address[:4] + "…" + address[len(address)-4:]
}

// brief shortens a hash or txid, which no secret is, so that it fits into a table.
func brief(hash string) string {
	if len(hash) <= 18 {
		return hash
	}
	return hash[:8] + "…" + hash[len(hash)-8:]
}

// tailed shortens a block's hash, whose beginning is zeros.
func tailed(hash string) string {
	if len(hash) <= 12 {
		return hash
	}
	return "…" + hash[len(hash)-12:]
}
