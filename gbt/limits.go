package gbt

import (
	"math"
	"slices"
	"sync"
)

// Limits travel in tokens in these units, so that two bytes hold each.
const (
	sizeUnit  = 64 // bytes
	sigopUnit = 2  // BIP 141 sigop cost
)

// maxVariants bounds the smaller forms of one template. Each costs its rendered answer.
const maxVariants = 16

// limits are what a miner wants a block to take at most (BIP 22, Template Tweaking), in sizeUnit
// and sigopUnit. 0 is no limit beside the block's own.
type limits struct{ size, sigops uint16 }

// shape is all that decides which of a template's transactions work holds.
type shape struct {
	witnessFree bool
	limits      limits
}

// limits returns what a request wants of t: nothing where t is within it as it is.
func (r *TemplateRequest) limits(t *Template) limits {
	size := t.coinbase.measure(t.WitnessCommitment).size + headerSize + t.set.size
	sigops := t.coinbase.measure(t.WitnessCommitment).sigops + t.set.sigops
	return limits{
		size:   inUnits(r.SizeLimit, t.SizeLimit, size, sizeUnit),
		sigops: inUnits(r.SigopLimit, t.SigopLimit, sigops, sigopUnit),
	}
}

// inUnits returns the limit asked for, in units; 0 if used, what the template takes, is within it.
// Numbers that are not positive are offsets from most, the block's own limit.
func inUnits(asked *int64, most, used, unit int64) uint16 {
	if asked == nil {
		return 0
	}
	limit := *asked
	if limit <= 0 {
		limit = most + max(limit, -most)
	}
	if limit >= used {
		return 0
	}
	// A limit below one unit is met by no block; 1 stands for the smallest one.
	return uint16(min(max(1, limit/unit), math.MaxUint16))
}

// variants are the smaller forms of one template, each made when first asked for and shared.
type variants struct {
	mu   sync.Mutex
	made map[shape]func() (*Template, error) // held by mu
}

// of returns a template's form of shape s, which build makes. It is false if s has limits and there
// are maxVariants of others already.
func (v *variants) of(s shape, build func() (*Template, error)) (func() (*Template, error), bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	variant, ok := v.made[s]
	if ok {
		return variant, true
	}
	if len(v.made) >= maxVariants && s.limits != (limits{}) {
		return nil, false
	}
	if v.made == nil {
		v.made = make(map[shape]func() (*Template, error))
	}
	variant = sync.OnceValues(build)
	v.made[s] = variant
	return variant, true
}

// within lists the shapes that were made and stay within s.
func (v *variants) within(s shape) []shape {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []shape
	for made := range v.made {
		if made.witnessFree == s.witnessFree && tighter(made.limits.size, s.limits.size) && tighter(made.limits.sigops, s.limits.sigops) {
			out = append(out, made)
		}
	}
	slices.SortFunc(out, func(a, b shape) int {
		return int(b.limits.size) - int(a.limits.size) + int(b.limits.sigops) - int(a.limits.sigops)
	})
	return out
}

// tighter reports whether limit a is b or below it, where 0 is no limit.
func tighter(a, b uint16) bool { return b == 0 || a != 0 && a <= b }

// of returns a published template in the shape that work was issued in.
func (t *Template) of(s shape) (*Template, error) {
	if s == (shape{}) {
		return t, nil
	}
	variant, ok := t.variants.of(s, func() (*Template, error) { return t.reduce(s) })
	if !ok {
		// Work of this shape was issued elsewhere: it is judged, but not kept.
		return t.reduce(s)
	}
	return variant()
}

// serve returns t in shape s for new work, and the shape that it really has: if there are too many
// others already, a smaller one of those.
func (t *Template) serve(s shape) (*Template, shape, error) {
	if s == (shape{}) {
		return t, s, nil
	}
	if variant, ok := t.variants.of(s, func() (*Template, error) { return t.reduce(s) }); ok {
		out, err := variant()
		return out, s, err
	}
	for _, smaller := range t.variants.within(s) {
		out, err := t.of(smaller)
		return out, smaller, err
	}
	// BIP 22 lets servers give more than was asked for.
	return t.serve(shape{witnessFree: s.witnessFree})
}
