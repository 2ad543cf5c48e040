package api

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// TestWord reads words that are known and others that are like them, each as it is.
func TestWord(t *testing.T) {
	for _, text := range []string{
		"longpoll", "coinbase/append", "segwit", "time", "", "longpolL", "ongpoll", "coinbase/appends", "!segwit", `"time"`, "tim\\", "ti\u00e9",
	} {
		quoted, err := jsontext.AppendQuote(nil, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := word(quoted); got != text {
			t.Errorf("%s reads %q", quoted, got)
		}
	}
	if got := word(jsontext.Value(`"tim\u0065"`)); got != "time" {
		t.Errorf("an escaped word reads %q", got)
	}
}
