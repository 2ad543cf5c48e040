package client_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/gbt/client"
)

// A whole miner: fetch, assemble, hash, submit. Only long polling and retries are missing.
func Example() {
	ctx := context.Background()
	pool, err := client.New(client.Config{
		URL: "http://pool.example:9332", User: "bcrt1q....rig1", Password: "x",
		HTTP: examplePool(), // only because there is no network here
	})
	if err != nil {
		log.Fatal(err)
	}
	template, err := pool.Template(ctx, client.Request{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	assembler, err := client.NewAssembler(template, client.Options{Append: []byte("/me/")})
	if err != nil {
		log.Fatal(err)
	}
	block, err := assembler.Block(0, time.Now())
	if err != nil {
		log.Fatal(err)
	}
	for !template.Target.MetBy(block.Header.BlockHash()) {
		block.Header.Nonce++
	}
	reason, err := pool.Submit(ctx, block)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("a block of height %d: accepted: %t\n", template.Height, reason == "")
	// Output: a block of height 500: accepted: true
}

// A Miner does all of it, with long polls, threads and retries, until it is told to stop.
func ExampleMiner() {
	pool, err := client.New(client.Config{
		URL: "http://pool.example:9332", User: "bcrt1q....rig1", Password: "x",
		HTTP: examplePool(), // only because there is no network here
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	miner, err := client.NewMiner(client.MinerConfig{
		Client:   pool,
		Threads:  1,
		HashRate: 1000,
		Events: func(e client.Event) {
			switch e.Kind {
			case client.NewWork:
				fmt.Println("height", e.Template.Height)
			case client.Verdict:
				stop() // or look at e.Reason and go on
			case client.Trouble:
				fmt.Println(e.Err)
			case client.Choice: // only with a Policy
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := miner.Run(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("shares were accepted:", miner.Stats().Accepted > 0)
	// Output:
	// height 500
	// shares were accepted: true
}

// Where the server leaves the coinbase to the miner, as full nodes do, the miner says whom it pays.
func ExampleNewAssembler() {
	template, err := client.ParseTemplate([]byte(`{
		"version": 536870912, "height": 17, "bits": "207fffff", "curtime": 1700000000, "mintime": 1699999000,
		"previousblockhash": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
		"coinbasevalue": 5000000000, "transactions": [], "mutable": ["time", "transactions", "prevblock"]
	}`))
	if err != nil {
		log.Fatal(err)
	}
	anyoneCanSpend := []byte{0x51}
	assembler, err := client.NewAssembler(template, client.Options{PayTo: anyoneCanSpend})
	if err != nil {
		log.Fatal(err)
	}
	for number := range uint32(2) {
		block, err := assembler.Block(number, template.Received)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(block.Header.MerkleRoot)
	}
	// Output:
	// 6b71f91c53f135592cd203de577dcb24461b536a7e7d19e3b52bd824580d0daa
	// 055098a7607f1e0110b725edcad176651e39431d857e00662da3540f7339b4ab
}

// A miner who wants other transactions proposes a block of them. What the server declares to be work
// is mined like any other template.
func ExampleClient_Propose() {
	ctx := context.Background()
	pool, err := client.New(client.Config{
		URL: "http://pool.example:9332", User: "bcrt1q....rig1", Password: "x",
		HTTP: examplePool(), // only because there is no network here
	})
	if err != nil {
		log.Fatal(err)
	}
	template, err := pool.Template(ctx, client.Request{Choose: true}, nil)
	if err != nil {
		log.Fatal(err)
	}
	offer := client.Offer{Pool: template}
	transactions, err := client.NoOpReturn(ctx, offer) // or any list of the template's, in order
	if err != nil {
		log.Fatal(err)
	}
	chosen, err := offer.With(transactions)
	if err != nil {
		log.Fatal(err)
	}
	assembler, err := client.NewAssembler(chosen, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	block, err := assembler.Block(0, time.Now())
	if err != nil {
		log.Fatal(err)
	}
	ruling, err := pool.Propose(ctx, block)
	if err != nil {
		log.Fatal(err)
	}
	if !ruling.Accepted() {
		log.Fatal(gbt.Explain(ruling.Reason, ruling.Detail)) // and mine the template as it is
	}
	fmt.Println("workid", ruling.Template.WorkID, "pays", ruling.Template.CoinbaseValue)
	// Output: workid declared pays 5000000000
}

// A Policy has a Miner do the same with each template, beside mining.
func ExamplePolicy() {
	cheap := func(_ context.Context, o client.Offer) ([]client.Transaction, error) {
		return o.Pool.Transactions[:min(100, len(o.Pool.Transactions))], nil
	}
	pool, err := client.New(client.Config{URL: "http://pool.example:9332", HTTP: examplePool()})
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.NewMiner(client.MinerConfig{Client: pool, Policy: cheap})
	fmt.Println(err)
	// Output: <nil>
}

// examplePool is a connection to a server that takes everything.
func examplePool() *http.Client { return &http.Client{Transport: exampleTransport{}} }

type exampleTransport struct{}

// RoundTrip implements http.RoundTripper.
func (exampleTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	request, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	reply := `{"result": null, "error": null, "id": 1}`
	if bytes.Contains(request, []byte(`"mode":"proposal"`)) {
		reply = `{"result": {"workid": "declared"}, "error": null, "id": 1}`
	} else if bytes.Contains(request, []byte("getblocktemplate")) {
		reply = `{"error": null, "id": 1, "result": {
			"version": 536870912, "height": 500, "bits": "1d00ffff", "curtime": 1700000000, "mintime": 1699999000,
			"previousblockhash": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
			"target": "00ffff0000000000000000000000000000000000000000000000000000000000", "workid": "w1",
			"coinbasetxn": {"data": "02000000010000000000000000000000000000000000000000000000000000000000000000ffffffff0302f401feffffff0100f2052a01000000015100000000"},
			"transactions": [], "mutable": ["time", "coinbase/append", "submit/coinbase", "transactions"]}}`
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(reply))}, nil
}
