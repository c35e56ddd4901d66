package auth

// recent is a map that keeps about as many entries as it may, the ones used
// last: when half of them are new, the other half is dropped. It is not safe
// for concurrent use.
type recent[K comparable, V any] struct {
	half     int
	young    map[K]V
	outgoing map[K]V
}

func newRecent[K comparable, V any](size int) *recent[K, V] {
	return &recent[K, V]{half: max(1, size/2), young: make(map[K]V)}
}

func (r *recent[K, V]) get(key K) (V, bool) {
	if value, ok := r.young[key]; ok {
		return value, true
	}
	value, ok := r.outgoing[key]
	if ok {
		r.put(key, value)
	}
	return value, ok
}

func (r *recent[K, V]) put(key K, value V) {
	if _, ok := r.young[key]; !ok && len(r.young) >= r.half {
		r.outgoing, r.young = r.young, make(map[K]V)
	}
	delete(r.outgoing, key)
	r.young[key] = value
}
