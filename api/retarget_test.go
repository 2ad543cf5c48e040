package api

import (
	"bufio"
	"strings"
	"testing"
	"time"

	"github.com/gbtpool/gbtpool/gbt"
)

// onHardNetwork is a template that leaves room for share targets.
func onHardNetwork(template map[string]any) {
	template["bits"] = "1c00ffff"
	delete(template, "target")
}

// find has the test's worker find n shares of its work in no time.
func (p *pool) find(n int, target gbt.Target) {
	for range n {
		p.vardiff.Accepted(address, "rig1", target.Work(), time.Now())
	}
}

// plain fetches work and returns its target.
func (p *pool) plain() gbt.Target {
	p.t.Helper()
	c := p.dial()
	defer func() { _ = c.Close() }()
	send(p.t, c, post(`{"method":"getblocktemplate","params":[{"rules":["segwit"]}],"id":0}`))
	target, err := gbt.ParseTarget(readAnswer(p.t, bufio.NewReader(c)).template(p.t).Target)
	if err != nil {
		p.t.Fatal(err)
	}
	return target
}

// poll is a long poll on the template in force.
func (p *pool) poll(header ...string) *heard {
	p.t.Helper()
	c := p.dial()
	h := listen(c)
	send(p.t, c, post(poll(p.pollID()), header...))
	if raw, _ := h.so(); raw != "" {
		p.t.Fatalf("the long poll is answered at once: %.200q", raw)
	}
	return h
}

// TestRetarget: a long poll is answered with harder work on the same template when the old is much
// too easy for its worker.
func TestRetarget(t *testing.T) {
	inBubble(t, func(p *pool) {
		t := p.t
		p.publish(2, onHardNetwork)
		easy := p.plain()
		h := p.poll()
		time.Sleep(time.Second)
		p.find(12, easy)
		tmpl := h.answered(t).template(t)
		target, err := gbt.ParseTarget(tmpl.Target)
		if err != nil {
			t.Fatal(err)
		}
		if target.Difficulty() < 4*easy.Difficulty() {
			t.Errorf("target %s after %s", target, easy)
		}
		if tmpl.LongPollID != p.pollID() || tmpl.SubmitOld == nil || !*tmpl.SubmitOld {
			t.Errorf("long poll id %s, submitold %v", tmpl.LongPollID, tmpl.SubmitOld)
		}
		// With that it waits again.
		h = p.poll()
		time.Sleep(time.Hour)
		if raw, _ := h.so(); raw != "" {
			t.Errorf("answered again: %.200q", raw)
		}
	})
}

// TestRetargetMeanwhile: a target that has changed before the long poll came is known as well.
func TestRetargetMeanwhile(t *testing.T) {
	inBubble(t, func(p *pool) {
		t := p.t
		p.publish(2, onHardNetwork)
		easy := p.plain()
		p.find(12, easy)
		c := p.dial()
		h := listen(c)
		send(t, c, post(poll(p.pollID())))
		if tmpl := h.answered(t).template(t); tmpl.Target == easy.String() {
			t.Errorf("got %+v", tmpl)
		}
	})
}

// TestRetargetPinned: who has chosen a target has it until there is other news.
func TestRetargetPinned(t *testing.T) {
	inBubble(t, func(p *pool) {
		t := p.t
		p.publish(2, onHardNetwork)
		easy := p.plain()
		byPassword := p.poll(basic(user, "d=0.001"))
		c := p.dial()
		byTarget := listen(c)
		send(t, c, post(strings.Replace(poll(p.pollID()), `"rules"`, `"target":"`+easy.String()+`","rules"`, 1)))
		p.find(12, easy)
		time.Sleep(time.Hour)
		for _, h := range []*heard{byPassword, byTarget} {
			if raw, _ := h.so(); raw != "" {
				t.Errorf("answered: %.200q", raw)
			}
		}
		p.publish(3, onHardNetwork)
		byPassword.answered(t).template(t)
		if tmpl := byTarget.answered(t).template(t); tmpl.Target != easy.String() {
			t.Errorf("got %+v", tmpl)
		}
	})
}

// TestRetargetKeepAlive: what counts is the work that the caller had when its long poll began, even
// if others of its name have got other work while keep-alive bytes went out.
func TestRetargetKeepAlive(t *testing.T) {
	inBubble(t, func(p *pool) {
		t := p.t
		p.publish(2, onHardNetwork)
		easy := p.plain()
		h := p.poll()
		for range 150 { // twice as many as it is to find
			time.Sleep(5 * time.Second)
			p.find(1, easy)
		}
		twice := p.plain()
		if ratio := twice.Difficulty() / easy.Difficulty(); ratio < 1.9 || ratio > 2.1 {
			t.Fatalf("%g times as hard", ratio)
		}
		time.Sleep(time.Minute)
		if raw, _ := h.so(); strings.Contains(raw, "result") {
			t.Fatalf("answered for twice as hard: %.200q", raw)
		}
		for p.plain() == twice {
			time.Sleep(2 * time.Second)
			p.find(1, twice)
		}
		if tmpl := h.answered(t).template(t); tmpl.Target == easy.String() || tmpl.Target == twice.String() {
			t.Errorf("got %+v", tmpl)
		}
	}, func(c *Config) { c.KeepAlive = 30 * time.Second })
}

// TestRetargetShown: the account's own view shows the target of its worker.
func TestRetargetShown(t *testing.T) {
	inBubble(t, func(p *pool) {
		t := p.t
		p.publish(2, onHardNetwork)
		p.find(20, p.plain())
		target := p.plain()
		c := p.dial()
		send(t, c, "GET "+pathCurrentTemplate+" HTTP/1.1\r\nHost: pool\r\n"+basic(user, "x")+"\r\n\r\n")
		got := readAnswer(t, bufio.NewReader(c))
		if !strings.Contains(got.body, `"share_target":"`+target.String()+`"`) {
			t.Errorf("want %s in %s", target, got.body)
		}
	})
}
