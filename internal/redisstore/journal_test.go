package redisstore_test

import (
	"testing"

	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/internal/storetest"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// journal makes a new journal, beside a ledger of its own.
func (o *opener) journal(tb testing.TB) storetest.Journal {
	tb.Helper()
	one, _ := o.open(tb)
	return journalOf(tb, onRedis(tb, one))
}

func journalOf(tb testing.TB, l *redisstore.Ledger) *redisstore.Journal {
	tb.Helper()
	j, err := redisstore.NewJournal(redisstore.JournalConfig{Ledger: l})
	if err != nil {
		tb.Fatal(err)
	}
	return j
}

func TestJournalOnEmbeddedRedis(t *testing.T) {
	e, err := redisstore.StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	storetest.JournalContract(t, (&opener{url: e.URL()}).journal)
}

func TestJournalOnRedis(t *testing.T) {
	storetest.JournalContract(t, (&opener{url: redisserver.New(t, redisserver.Config{}).URL()}).journal)
}

func TestJournalOnCluster(t *testing.T) {
	storetest.JournalContract(t, (&opener{url: redisserver.NewCluster(t, 3).URL()}).journal)
}
