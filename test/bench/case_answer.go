package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// compressedWithin is how long after the node's answer a compressed template is waited for.
const compressedWithin = 2 * time.Second

// answerCase has one miner wait for a new block with a full template, in each encoding, and looks when it is there. Who
// asks for a compressed one and gets identity meanwhile, or an early template without transactions, asks again until it
// comes.
func answerCase(ctx context.Context, l *lab) ([]row, error) {
	n, err := l.newsroom(ctx, true)
	if err != nil {
		return nil, err
	}
	if _, err := n.settled(ctx); err != nil {
		return nil, err
	}
	full, err := capture(ctx, n.g.addr, n.g.login, "identity", askTemplate(""))
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, encoding := range []struct {
		name string
		most float64
	}{{"identity", 60}, {"gzip", 150}, {"zstd", 150}} {
		r := row{What: encoding.name + ": node's answer to the miner's first byte", Unit: "ms", Bars: []bar{atMost(encoding.most, itself)},
			Note: "from when the node begins its answer; medians of several blocks in each round"}
		expected := &news{captured: full}
		err := l.rounds(func(int) error {
			var times []float64
			for range l.pick(9, 1) {
				took, came, err := l.firstByte(ctx, n, expected, encoding.name)
				if err != nil {
					return err
				}
				if !came {
					r.Note, r.Bars = "identity came", nil
				}
				times = append(times, milliseconds(took))
				if err := pause(ctx, l.span(200*time.Millisecond, 0)); err != nil {
					return err
				}
			}
			r.Ours = append(r.Ours, median(times))
			return nil
		})
		expected.note(&r)
		rows = append(rows, r)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", encoding.name, err)
		}
	}
	return rows, nil
}

// firstByte has a miner wait for a block and returns when the template that is expected began to come in an encoding, and
// whether it did: else when it came as identity.
func (l *lab) firstByte(ctx context.Context, n *newsroom, expected *news, encoding string) (took time.Duration, came bool, err error) {
	id, err := n.settled(ctx)
	if err != nil {
		return 0, false, err
	}
	c, err := dial(ctx, n.g.addr, "")
	if err != nil {
		return 0, false, err
	}
	defer c.Close() //nolint:errcheck // nothing is left to be sent
	if err := c.SetDeadline(time.Now().Add(readyLimit)); err != nil {
		return 0, false, err
	}
	if _, err := c.Write(render(n.g.login, encoding, askTemplate(id))); err != nil {
		return 0, false, err
	}
	err = await(ctx, "the poll to wait", func(ctx context.Context) (bool, error) {
		waiting, err := n.g.waiting(ctx)
		return waiting > 0, err
	})
	if err != nil {
		return 0, false, err
	}
	start, err := n.announce(ctx)
	if err != nil {
		return 0, false, err
	}
	var a answer
	if err := c.read(&a); err != nil {
		return 0, false, err
	}
	wanted := encoding
	if encoding == "identity" {
		wanted = ""
	}
	again := render(n.g.login, encoding, askTemplate(""))
	for ; ; err = c.ask(again, &a) {
		if err != nil {
			return 0, false, err
		}
		if a.status != http.StatusOK {
			return 0, false, fmt.Errorf("status %d and no template", a.status)
		}
		early := expected.early(&a)
		if !early && took == 0 {
			took = a.first.Sub(start)
		}
		switch {
		case !early && a.encoding == wanted:
			return a.first.Sub(start), true, nil
		case took == 0: // until the connection's deadline
		case time.Since(start) > l.span(compressedWithin, 300*time.Millisecond):
			return took, false, nil
		}
	}
}
