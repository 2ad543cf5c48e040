package redisstore_test

import (
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/internal/redisstore"
	"github.com/gbtpool/gbtpool/internal/storetest"
	"github.com/gbtpool/gbtpool/test/redisserver"
)

// sets opens a new store for each test of the contract.
func (o *opener) sets(t *testing.T) func() gbt.SetStore {
	t.Helper()
	return func() gbt.SetStore {
		one, _ := o.open(t)
		s, err := redisstore.NewSets(redisstore.SetsConfig{Ledger: onRedis(t, one), Keep: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestSetsOnEmbeddedRedis(t *testing.T) {
	e, err := redisstore.StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	storetest.SetStoreContract(t, (&opener{url: e.URL()}).sets(t))
}

func TestSetsOnRedis(t *testing.T) {
	storetest.SetStoreContract(t, (&opener{url: redisserver.New(t, redisserver.Config{}).URL()}).sets(t))
}

func TestSetsOnCluster(t *testing.T) {
	storetest.SetStoreContract(t, (&opener{url: redisserver.NewCluster(t, 3).URL()}).sets(t))
}
