package client_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/gbtpool/gbtpool/gbt/client"
)

// A whole miner: fetch, assemble, hash, submit. Only long polling is missing.
func Example() {
	ctx := context.Background()
	pool, err := client.New(client.Config{URL: "http://127.0.0.1:9332", User: "bc1q....rig1", Password: "x"})
	if err != nil {
		log.Fatal(err)
	}
	template, err := pool.Template(ctx, client.Request{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	assembler, err := client.NewAssembler(template, client.Options{})
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
	fmt.Println(reason, err)
}

// A Miner does the same with long polls, threads and retries, until it is told to stop.
func ExampleMiner() {
	pool, err := client.New(client.Config{URL: "http://127.0.0.1:9332", User: "bc1q....rig1", Password: "x"})
	if err != nil {
		log.Fatal(err)
	}
	miner, err := client.NewMiner(client.MinerConfig{
		Client: pool,
		Events: func(e client.Event) {
			if e.Kind == client.Verdict {
				fmt.Println(e.Hash, e.Reason)
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if err := miner.Run(ctx); err != nil {
		fmt.Println(err)
	}
}
