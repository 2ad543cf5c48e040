package guard

// recent is a map of bounded size that forgets what was not looked at for longest, by halves: what
// is looked at is young, and when there are enough of the young, the old ones go.
type recent[K comparable, V any] struct {
	size       int
	young, old map[K]V
}

// newRecent makes a map of at least size entries, and at most twice as many.
func newRecent[K comparable, V any](size int) *recent[K, V] {
	return &recent[K, V]{size: size, young: make(map[K]V)}
}

// get returns what is kept for a key; false if nothing is.
func (r *recent[K, V]) get(key K) (V, bool) {
	if v, ok := r.young[key]; ok {
		return v, true
	}
	v, ok := r.old[key]
	if ok {
		r.put(key, v)
	}
	return v, ok
}

// put keeps a value.
func (r *recent[K, V]) put(key K, v V) {
	if _, ok := r.young[key]; !ok && len(r.young) >= r.size {
		r.old, r.young = r.young, make(map[K]V)
	}
	r.young[key] = v
}
