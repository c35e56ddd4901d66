// Package budget shares a bounded amount of memory between many.
package budget

import "sync"

// Memory is an amount of bytes of which every owner may have a share. It only
// counts; it is safe for concurrent use.
type Memory struct {
	total, share int64

	mu     sync.Mutex
	used   int64            // guarded by mu
	owners map[string]int64 // guarded by mu; none of them has nothing
}

// NewMemory returns total bytes, of which one owner may have share.
func NewMemory(total, share int64) *Memory {
	return &Memory{total: total, share: share, owners: make(map[string]int64)}
}

// Reserve takes n bytes for the owner, or returns false and takes none. It does
// not wait.
func (m *Memory) Reserve(owner string, n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n < 0 || n > m.total-m.used || n > m.share-m.owners[owner] {
		return false
	}
	m.add(owner, n)
	return true
}

// Release gives back n bytes that were reserved.
func (m *Memory) Release(owner string, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.add(owner, -n)
}

// add counts n bytes. The caller has mu.
func (m *Memory) add(owner string, n int64) {
	m.used += n
	if m.owners[owner] += n; m.owners[owner] == 0 {
		delete(m.owners, owner)
	}
}

// Used returns how many bytes are reserved.
func (m *Memory) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}
