package accept

import (
	"net/http"
	"slices"
	"testing"
)

func TestCoding(t *testing.T) {
	both := []string{"zstd", "gzip"}
	for _, c := range []struct {
		accept []string
		offer  []string
		want   string
	}{
		{nil, both, ""},
		{[]string{""}, both, ""},
		{[]string{"gzip"}, both, "gzip"},
		{[]string{"GZip"}, both, "gzip"},
		{[]string{"x-gzip"}, both, "gzip"},
		{[]string{"zstd"}, both, "zstd"},
		{[]string{"zstd"}, []string{"gzip"}, ""},
		{[]string{"br, deflate"}, both, ""},
		{[]string{"deflate, gzip, br, zstd"}, both, "zstd"}, // libcurl
		{[]string{"deflate, gzip, br, zstd"}, []string{"gzip"}, "gzip"},
		{[]string{"deflate, gzip, br, zstd"}, nil, ""},
		{[]string{"gzip", "zstd"}, both, "zstd"}, // two lines are one list
		{[]string{"gzip;q=1.0, zstd;q=0.9"}, both, "gzip"},
		{[]string{"gzip ; q=0.5 , zstd ; Q=0.7"}, both, "zstd"},
		{[]string{"gzip;q=0"}, both, ""},
		{[]string{"gzip;q=0, *"}, both, "zstd"},
		{[]string{"*"}, both, "zstd"},
		{[]string{"*;q=0"}, both, ""},
		{[]string{"zstd;q=0, *;q=0.1"}, both, "gzip"},
		{[]string{"*;q=0, gzip;q=0.2"}, both, "gzip"},
		{[]string{"identity"}, both, ""},
		{[]string{"identity, gzip;q=0.5"}, both, ""},
		{[]string{"identity, gzip"}, both, "gzip"},
		{[]string{"identity;q=0.5, gzip"}, both, "gzip"},
		{[]string{"identity;q=0, gzip"}, both, "gzip"},
		{[]string{"identity;q=0"}, both, ""},
		{[]string{"gzip;q=much"}, both, ""},
		{[]string{"gzip;level=1"}, both, ""},
		{[]string{"gzip;q=NaN"}, both, ""},
		{[]string{"gzip;q=2, zstd;q=-1"}, both, ""},
		{[]string{", ,gzip,,"}, both, "gzip"},
	} {
		h := http.Header{"Accept-Encoding": slices.Clone(c.accept)}
		if got := Coding(h, c.offer...); got != c.want {
			t.Errorf("%q of %q: %q, want %q", c.accept, c.offer, got, c.want)
		}
	}
}

// FuzzCoding gives who names nothing by hand nothing that was not offered.
func FuzzCoding(f *testing.F) {
	f.Add("deflate, gzip;q=0.5, *;q=0")
	f.Fuzz(func(t *testing.T, accept string) {
		h := http.Header{"Accept-Encoding": {accept}}
		if got := Coding(h, "zstd", "gzip"); got != "" && got != "zstd" && got != "gzip" {
			t.Errorf("%q: %q", accept, got)
		}
		if got := Coding(h); got != "" {
			t.Errorf("%q: %q of none", accept, got)
		}
	})
}
